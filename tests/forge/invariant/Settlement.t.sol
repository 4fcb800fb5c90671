// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IVppSettlement} from "../../../contracts/interfaces/IVppSettlement.sol";
import {ICurrency, ISettlement} from "../base/SettlementPark.sol";
import {Test} from "../base/Test.sol";
import {SettlementHandler} from "./SettlementHandler.sol";

/// @title What stays true of VppSettlement, whoever does what in which order
contract SettlementInvariants is Test {
    SettlementHandler private handler;
    ISettlement private settlement;
    ICurrency private currency;

    function setUp() public {
        handler = new SettlementHandler();
        (settlement, currency) = handler.contractUnderTest();
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

    /// @notice VS-04: what the contract holds is all balances, all that is locked, and what nobody
    /// deposited.
    function invariantCustodyCoversLedger() external view {
        uint256 owed = settlement.totalLocked();
        for (uint256 i; i < handler.partyCount(); ++i) {
            owed += settlement.balanceOf(handler.party(i));
        }
        vm.assertEq(currency.balanceOf(address(settlement)), owed + handler.given(), "custody");
        vm.assertEq(settlement.totalBalance() + settlement.totalLocked(), owed, "the total");
    }

    /// @notice VS-18, VS-22: batches move money and make none.
    function invariantBatchesSumToZero() external view {
        uint256 owed = settlement.totalBalance() + settlement.totalLocked();
        vm.assertEq(owed + handler.withdrawn(), handler.deposited(), "made or lost");
    }

    /// @notice VS-01, VS-03, VS-17, VS-20: each balance, and what is locked, is the model's.
    function invariantBooksAreTheModels() external view {
        for (uint256 i; i < handler.partyCount(); ++i) {
            address party = handler.party(i);
            vm.assertEq(settlement.balanceOf(party), handler.balance(party), "balance");
        }
        vm.assertEq(settlement.totalLocked(), handler.locked(), "locked");
        vm.assertTrue(settlement.paused() == handler.pausedModel(), "pause");
    }

    /// @notice VS-16, VS-22: exactly the trades of batches that are proposed or final are marked.
    function invariantMarksAreThoseOfLiveBatches() external view {
        for (uint256 i; i < handler.seqCount(); ++i) {
            uint64 seq = uint64(handler.seqs(i));
            vm.assertTrue(settlement.isSettled(seq) == handler.marked(seq), "mark");
        }
    }

    /// @notice VS-11, VS-20, VS-21: batches go their way in order, each under its key.
    function invariantBatchesFinalizeInOrder() external view {
        uint256 next = settlement.nextToFinalize();
        vm.assertEq(next, handler.nextBatch(), "next");
        vm.assertEq(settlement.batchCount(), handler.batchCount(), "count");
        for (uint256 id = 1; id <= handler.batchCount(); ++id) {
            (bytes32 key, IVppSettlement.BatchStatus status) = handler.batchModel(id);
            vm.assertTrue(settlement.batchStatus(id) == status, "status");
            vm.assertEq(settlement.batchOfKey(key), id, "key");
            vm.assertTrue(id >= next || status != IVppSettlement.BatchStatus.Proposed, "passed");
        }
    }

    /// @notice VS-03, VS-22, VS-30: in the end everybody leaves with its money, paused or not.
    function afterInvariant() external {
        handler.everybodyLeaves();
    }
}
