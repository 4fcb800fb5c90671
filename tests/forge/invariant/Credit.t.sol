// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {ICreditOversight} from "../../../contracts/interfaces/ICreditOversight.sol";
import {ICreditRegistry} from "../../../contracts/interfaces/ICreditRegistry.sol";
import {ICredit} from "../base/CreditPark.sol";
import {Test} from "../base/Test.sol";
import {CreditHandler} from "./CreditHandler.sol";
import {CreditModel} from "./CreditModel.sol";

/// @title What stays true of CarbonCredit, whoever does what in which order
contract CreditInvariants is Test {
    CreditHandler private handler;
    ICredit private credit;

    function setUp() public {
        handler = new CreditHandler();
        credit = handler.contractUnderTest();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(handler);
        targets[0].selectors = handler.acts();
    }

    /// @notice CC-43, CC-62: each batch's units are held, retired or cancelled, to the kilogram.
    function invariantIssuedIsHeldRetiredCancelled() external view {
        for (uint256 b; b < handler.batchCount(); ++b) {
            uint256 batchId = handler.batches(b);
            ICarbonCredit.Batch memory batch = credit.batchOf(batchId);
            uint256 total;
            for (uint256 i; i < handler.holderCount(); ++i) {
                total += credit.balanceOf(handler.holders(i), batchId);
            }
            vm.assertEq(total, credit.totalSupply(batchId), "the supply is what is held");
            vm.assertEq(
                total + batch.retired + batch.cancelled, batch.issued, "issued is all of it"
            );
        }
    }

    /// @notice CC-20, CC-21, CC-31, CC-40, CC-57, CC-62: balances, totals and states are those of the model.
    function invariantBooksAreTheModels() external view {
        for (uint256 b; b < handler.batchCount(); ++b) {
            uint256 batchId = handler.batches(b);
            _compare(batchId, credit.batchOf(batchId), handler.modelOf(batchId));
            for (uint256 i; i < handler.holderCount(); ++i) {
                address holder = handler.holders(i);
                uint256 held = handler.held(batchId, holder);
                vm.assertEq(credit.balanceOf(holder, batchId), held, "balance");
            }
        }
        vm.assertEq(credit.retirementCount(), handler.retirements(), "retirements");
        vm.assertTrue(credit.paused() == handler.pausedModel(), "pause");
    }

    function _compare(
        uint256 batchId,
        ICarbonCredit.Batch memory batch,
        CreditModel.BatchModel memory model
    ) private view {
        vm.assertEq(batch.issued, model.issued, "issued");
        vm.assertEq(batch.retired, model.retired, "retired");
        vm.assertEq(batch.cancelled, model.cancelled, "cancelled");
        vm.assertEq(batch.gapStart, model.gapStart, "gap");
        vm.assertTrue(credit.statusOf(batchId) == model.status, "status");
        vm.assertEq(credit.deficitOf(batchId), model.deficit, "deficit");
        ICreditOversight.Invalidation memory pending = credit.invalidationOf(batchId);
        vm.assertEq(pending.proposer, model.proposer, "proposer");
        vm.assertEq(pending.executableAt, model.executableAt, "executable at");
    }

    /// @notice CC-22, CC-41, CC-42, CC-43: no two events name the same serial, and no two batches the
    /// same second of a site.
    function invariantSerialsDisjoint() external view {
        vm.assertEq(handler.badRuns(), 0, "runs of serials that meet");
    }

    /// @notice CC-60, CC-61: the head is the hash of all ledger events, in order.
    function invariantLogHeadIsHashOfEvents() external view {
        (uint64 seq, bytes32 head) = credit.logHead();
        (uint64 expectedSeq, bytes32 expectedHead) = handler.logHead();
        vm.assertEq(seq, expectedSeq, "seq");
        vm.assertEq(head, expectedHead, "head");
    }

    /// @notice CC-13, CC-14: a key and a root lead to the one batch that was issued on them.
    function invariantKeysAndRootsAreTakenForEver() external view {
        for (uint256 b; b < handler.batchCount(); ++b) {
            uint256 batchId = handler.batches(b);
            (bytes32 key, bytes32 root) = handler.keyAndRootOf(batchId);
            vm.assertEq(credit.batchOfKey(key), batchId, "key");
            vm.assertEq(credit.batchOfEvidenceRoot(root), batchId, "root");
        }
    }

    /// @notice CC-05, CC-06, CC-17: what is issued in a class is what its batches say; a cap is as set.
    function invariantClassesCountWhatIsIssued() external view {
        for (uint32 id = 1; id <= handler.classes(); ++id) {
            ICreditRegistry.Class memory class = credit.classOf(id);
            vm.assertEq(class.issued, handler.issuedInClass(id), "issued in a class");
            vm.assertEq(class.cap, handler.capOfClass(id), "cap");
            vm.assertEq(class.bufferBps, handler.bufferOfClass(id), "buffer");
        }
    }

    /// @notice CC-15: a site's time is issued upon once, and never ahead of the clock.
    function invariantPeriodsAdvance() external view {
        for (uint32 id = 1; id <= handler.sites(); ++id) {
            uint256 until = credit.siteOf(id).mintedUntil;
            vm.assertEq(until, handler.mintedUntilModel(id), "minted until");
            vm.assertLe(until, block.timestamp, "minted ahead of time");
        }
    }

    /// @notice CC-40, CC-51: in the end everybody retires what is left, paused or not.
    function afterInvariant() external {
        handler.retireAll();
    }
}
