// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {ICreditOversight} from "../../../contracts/interfaces/ICreditOversight.sol";
import {ICreditRegistry} from "../../../contracts/interfaces/ICreditRegistry.sol";
import {Vm} from "../base/Test.sol";
import {CreditModel} from "../invariant/CreditModel.sol";

/// @title Every kind of ledger event once, and the head that they yield
contract CreditLogTest is CreditModel {
    /// @notice CC-60, CC-61, CC-62: each event is sealed as it was published, with what happened.
    function testEveryEventIsSealed() external {
        vm.startPrank(registrar);
        credit.registerClass("third", "methodology", 7, 5);
        credit.setClassCap(3, 9);
        credit.setClassBuffer(1, 1000);
        credit.registerProject(3, buyer, "third");
        credit.registerSite(3, "third");
        vm.stopPrank();
        uint256 first = _issue(1);
        uint256 second = _issue(3);
        uint256 third = _issue(1);
        retire(owner, first, 30);
        cancel(owner, first, 20);
        vm.prank(suspender);
        credit.suspend(first);
        ICreditOversight.ProvenReading memory one = _proven(first);
        ICreditOversight.ProvenReading memory other = _proven(second);
        vm.prank(stranger);
        credit.proveOverlap(one, other);
        vm.prank(reverser);
        credit.proposeInvalidation(first, "reason");
        vm.prank(admin);
        credit.reinstate(first);
        vm.prank(reverser);
        credit.proposeInvalidation(first, "again");
        vm.warp(block.timestamp + 7 days);
        vm.prank(admin);
        credit.executeInvalidation(first);
        vm.prank(reverser);
        credit.replace("key", third, first, 25);

        Vm.Log[] memory logs = vm.getRecordedLogs();
        readLogsOf(logs);
        (uint64 seq, bytes32 head) = credit.logHead();
        vm.assertEq(_log.seq, seq, "seq");
        vm.assertEq(_log.head, head, "head");
        vm.assertEq(seq, 29, "so many events");
        _checkOverlap(logs, first, second);
        _checkEnds(logs, first, third);
    }

    function _checkOverlap(Vm.Log[] memory logs, uint256 first, uint256 second) private view {
        Vm.Log memory log = _only(logs, ICreditOversight.OverlapProven.selector);
        vm.assertEq(log.topics[1], bytes32(first), "first batch");
        vm.assertEq(log.topics[2], bytes32(second), "second batch");
        vm.assertEq(log.topics[3], bytes32(uint256(uint160(stranger))), "challenger");
        (ICreditOversight.Reading memory one, ICreditOversight.Reading memory other) =
            abi.decode(log.data, (ICreditOversight.Reading, ICreditOversight.Reading));
        vm.assertEq(one.text, _claims[first].key, "first reading");
        vm.assertEq(other.text, _claims[second].key, "second reading");
    }

    function _checkEnds(Vm.Log[] memory logs, uint256 first, uint256 third) private view {
        Vm.Log memory log = _only(logs, ICreditOversight.Invalidated.selector);
        (uint64 frozen, uint64 deficit) = abi.decode(log.data, (uint64, uint64));
        vm.assertEq(log.topics[1], bytes32(first), "invalidated");
        vm.assertEq(log.topics[2], bytes32(uint256(uint160(admin))), "executor");
        vm.assertEq(frozen, AMOUNT - 50, "frozen");
        vm.assertEq(deficit, 30, "deficit");

        log = _only(logs, ICarbonCredit.Replaced.selector);
        vm.assertEq(log.topics[1], bytes32("key"), "key");
        vm.assertEq(log.topics[2], bytes32(third), "of the buffer");
        vm.assertEq(log.topics[3], bytes32(first), "for the other");
        vm.assertEq(
            keccak256(log.data),
            keccak256(abi.encode(2, 1, 25, 25, 5, 29, _log.head)),
            "id, first serial, amount, total, what is left, seq, head"
        );
        log = _only(logs, ICreditRegistry.ClassCapChanged.selector);
        (uint64 oldCap, uint64 newCap) = abi.decode(log.data, (uint64, uint64));
        vm.assertTrue(oldCap == 7 && newCap == 9, "caps");
        log = _only(logs, ICreditRegistry.ClassBufferChanged.selector);
        (oldCap, newCap) = abi.decode(log.data, (uint64, uint64));
        vm.assertTrue(oldCap == 0 && newCap == 1000, "buffers");
    }

    function _only(Vm.Log[] memory logs, bytes32 topic) private pure returns (Vm.Log memory found) {
        uint256 count;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != topic) continue;
            found = logs[i];
            ++count;
        }
        vm.assertEq(count, 1, "one event of the kind");
    }

    function _issue(uint32 siteId) private returns (uint256 batchId) {
        ICarbonCredit.Claim memory claim = goodClaim();
        claim.siteId = siteId;
        claim.periodStart = nextStart(siteId);
        claim.periodEnd = claim.periodStart + MONTH;
        claim.evidenceRoot = leafOf(readingOf(claim, "meter"));
        batchId = issue(claim);
        modelIssue(batchId, claim);
    }

    function _proven(uint256 batchId)
        private
        view
        returns (ICreditOversight.ProvenReading memory proven)
    {
        proven.evidenceRoot = _claims[batchId].evidenceRoot;
        proven.reading = readingOf(_claims[batchId], "meter");
    }
}
