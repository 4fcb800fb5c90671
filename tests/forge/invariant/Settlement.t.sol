// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IVppSettlement} from "../../../contracts/interfaces/IVppSettlement.sol";
import {ICredits, ICurrency, ISettlement} from "../base/SettlementPark.sol";
import {Test} from "../base/Test.sol";
import {SettlementHandler} from "./SettlementHandler.sol";

/// @title What stays true of VppSettlement, whoever does what in which order
contract SettlementInvariants is Test {
    uint256 private constant CASH = 0;
    uint256 private constant CREDIT = uint256(1) << 32 | 1;

    SettlementHandler private handler;
    ISettlement private settlement;
    ICurrency private currency;
    ICredits private credits;

    function setUp() public {
        handler = new SettlementHandler();
        (settlement, currency, credits) = handler.contractUnderTest();
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

    /// @notice VS-04: of each asset, what the contract holds is all balances, all that is locked,
    /// and what nobody deposited.
    function invariantCustodyCoversLedger() external view {
        (uint256 balances, uint256 locked) = settlement.totalsOf(CASH);
        vm.assertEq(_sum(CASH), balances, "sum of cash");
        uint256 custody = currency.balanceOf(address(settlement));
        vm.assertEq(custody, balances + locked + handler.given(), "custody of cash");

        (balances, locked) = settlement.totalsOf(CREDIT);
        vm.assertEq(_sum(CREDIT), balances, "sum of credits");
        custody = credits.balanceOf(address(settlement), CREDIT);
        vm.assertEq(custody, balances + locked, "custody of credits");
    }

    /// @notice VS-18, VS-22, VS-24, VS-61: settlement moves what is there and makes nothing, fees included.
    function invariantSettlementSumsToZero() external view {
        for (uint256 i; i < 2; ++i) {
            uint256 asset = i == 0 ? CASH : CREDIT;
            (uint256 balances, uint256 locked) = settlement.totalsOf(asset);
            uint256 out = handler.withdrawn(asset);
            vm.assertEq(balances + locked + out, handler.deposited(asset), "made or lost");
        }
    }

    /// @notice VS-01, VS-03, VS-17, VS-20, VS-53: each balance, and what is locked, is the model's.
    function invariantBooksAreTheModels() external view {
        address[] memory accounts = handler.accounts();
        for (uint256 i; i < accounts.length; ++i) {
            address account = accounts[i];
            vm.assertEq(settlement.balanceOf(account), handler.balance(CASH, account), "cash");
            uint256 held = settlement.creditBalanceOf(account, CREDIT);
            vm.assertEq(held, handler.balance(CREDIT, account), "credits");
        }
        vm.assertEq(settlement.totalLocked(), handler.locked(CASH), "locked cash");
        (, uint256 locked) = settlement.totalsOf(CREDIT);
        vm.assertEq(locked, handler.locked(CREDIT), "locked credits");
        vm.assertEq(settlement.feeBps(), handler.feeNow(), "fee");
        vm.assertTrue(settlement.paused() == handler.pausedModel(), "pause");
    }

    /// @notice VS-16, VS-22: exactly the trades that are settled or in an open batch are marked.
    function invariantMarksAreThoseOfLiveBatches() external view {
        for (uint256 i; i < handler.seqCount(); ++i) {
            uint64 seq = uint64(handler.seqs(i));
            vm.assertTrue(settlement.isSettled(seq) == handler.marked(seq), "mark");
        }
    }

    /// @notice VS-11, VS-20, VS-21, VS-51: batches go their way in order, each under its key.
    function invariantBatchesFinalizeInOrder() external view {
        uint256 next = settlement.nextToFinalize();
        vm.assertEq(next, handler.nextBatch(), "next");
        vm.assertEq(settlement.batchCount(), handler.batchCount(), "count");
        for (uint256 id = 1; id <= handler.batchCount(); ++id) {
            (bytes32 key, IVppSettlement.BatchStatus status, uint256 time, address disputer) =
                handler.modelOf(id);
            vm.assertTrue(settlement.batchStatus(id) == status, "status");
            vm.assertEq(settlement.batchOfKey(key), id, "key");
            vm.assertEq(settlement.finalizableAt(id), time, "finalizable at");
            vm.assertEq(settlement.disputeOf(id).account, disputer, "disputer");
            vm.assertTrue(id >= next || status != IVppSettlement.BatchStatus.Proposed, "passed");
        }
    }

    /// @notice VS-03, VS-22, VS-30, VS-34: in the end everybody leaves with all it has, paused or not.
    function afterInvariant() external {
        handler.everybodyLeaves();
    }

    function _sum(uint256 asset) private view returns (uint256 total) {
        address[] memory accounts = handler.accounts();
        for (uint256 i; i < accounts.length; ++i) {
            total += settlement.creditBalanceOf(accounts[i], asset);
        }
    }
}
