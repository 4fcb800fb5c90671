// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {ICredit} from "../base/CreditPark.sol";
import {Test} from "../base/Test.sol";
import {CreditHandler} from "./CreditHandler.sol";

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

    /// @notice CC-20, CC-31, CC-40, CC-62: balances, totals and states are those of the model.
    function invariantBooksAreTheModels() external view {
        for (uint256 b; b < handler.batchCount(); ++b) {
            uint256 batchId = handler.batches(b);
            ICarbonCredit.Batch memory batch = credit.batchOf(batchId);
            (uint64 issued, uint64 retired, uint64 cancelled, ICarbonCredit.Status status,,) =
                handler.batchModel(batchId);
            vm.assertEq(batch.issued, issued, "issued");
            vm.assertEq(batch.retired, retired, "retired");
            vm.assertEq(batch.cancelled, cancelled, "cancelled");
            vm.assertTrue(credit.statusOf(batchId) == status, "status");
            for (uint256 i; i < handler.holderCount(); ++i) {
                address holder = handler.holders(i);
                vm.assertEq(
                    credit.balanceOf(holder, batchId), handler.held(batchId, holder), "balance"
                );
            }
        }
        vm.assertEq(credit.retirementCount(), handler.retirements(), "retirements");
        vm.assertTrue(credit.paused() == handler.pausedModel(), "pause");
    }

    /// @notice CC-41, CC-42, CC-43: no two events name the same serial.
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
            (,,,, bytes32 key, bytes32 root) = handler.batchModel(batchId);
            vm.assertEq(credit.batchOfKey(key), batchId, "key");
            vm.assertEq(credit.batchOfEvidenceRoot(root), batchId, "root");
        }
    }

    /// @notice CC-05, CC-17: what is issued in a class is what its batches say; a cap is as set.
    function invariantClassesCountWhatIsIssued() external view {
        for (uint32 id = 1; id <= handler.classes(); ++id) {
            ICarbonCredit.Class memory class = credit.classOf(id);
            vm.assertEq(class.issued, handler.issuedInClass(id), "issued in a class");
            vm.assertEq(class.cap, handler.capOfClass(id), "cap");
        }
    }

    /// @notice CC-15: a site's time is issued upon once, and never ahead of the clock.
    function invariantPeriodsAdvance() external view {
        for (uint32 id = 1; id <= handler.sites(); ++id) {
            uint256 until = credit.mintedUntil(id);
            vm.assertEq(until, handler.mintedUntilModel(id), "minted until");
            vm.assertLe(until, block.timestamp, "minted ahead of time");
        }
    }

    /// @notice CC-40, CC-51: in the end everybody retires what is left, paused or not.
    function afterInvariant() external {
        handler.retireAll();
    }
}
