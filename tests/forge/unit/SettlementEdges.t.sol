// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ISettlementEscrow} from "../../../contracts/interfaces/ISettlementEscrow.sol";
import {IVppSettlement} from "../../../contracts/interfaces/IVppSettlement.sol";
import {Book} from "../base/Book.sol";
import {SettlementPark} from "../base/SettlementPark.sol";

/// @title The smallest sums and the largest asset that VppSettlement knows
contract SettlementEdgesTest is SettlementPark {
    uint256 private constant LAST = type(uint64).max;

    Book.Deal[] private deals;

    function setUp() public {
        buildSettlement(2);
        deposit(parties[0], 1);
        depositCredits(parties[1], 1);
        deals.push(Book.Deal(1, 0, 1, 1, 100_000)); // a kilogram for a cent
    }

    /// @notice VS-18, VS-24: one cent and one kilogram reach those who gain them.
    function testOneCentAndOneKilogramArePaid() public {
        propose(newKey(), CREDIT, deals);
        vm.warp(block.timestamp + WINDOW);
        finalize(1, outcomeOf(CREDIT, deals, 0));
        _has(parties[0], 0, 1);
        _has(parties[1], 1, 0);
    }

    /// @notice VS-22: a cancellation gives one cent and one kilogram back.
    function testOneCentAndOneKilogramAreRestored() public {
        propose(newKey(), CREDIT, deals);
        _has(parties[0], 0, 0);
        _has(parties[1], 0, 0);
        cancel(1, outcomeOf(CREDIT, deals, 0), deals);
        _has(parties[0], 1, 0);
        _has(parties[1], 0, 1);
    }

    /// @notice VS-24: the last number that a batch has room for is an asset; the next one is none.
    function testTheLastAsset() public {
        credits.mint(parties[1], LAST, 1);
        vm.prank(parties[1]);
        credits.safeTransferFrom(parties[1], address(settlement), LAST, 1, "");
        propose(newKey(), LAST, deals);
        vm.assertEq(settlement.assetOf(1), LAST, "asset");
        vm.warp(block.timestamp + WINDOW);
        finalize(1, outcomeOf(LAST, deals, 0));
        vm.assertEq(settlement.creditBalanceOf(parties[0], LAST), 1, "credits");

        deals[0].seq = 2;
        uint256[] memory words = new uint256[](1);
        words[0] = Book.word(deals[0]);
        bytes32 key = newKey();
        vm.expectRevert(
            abi.encodeWithSelector(ISettlementEscrow.AssetNotTransferable.selector, LAST + 1)
        );
        vm.prank(operator);
        settlement.proposeBatch(key, LAST + 1, parties, words);
    }

    /// @notice VS-34: pauses since the proposal free a batch when they come to the time-out, all in
    /// all, and not a second sooner; one before it does not count.
    function testPausesAddUp() public {
        _pauseFor(2 * TIMEOUT);
        propose(newKey(), CREDIT, deals);
        vm.warp(block.timestamp + WINDOW + TIMEOUT);
        _pauseFor(TIMEOUT / 2);
        vm.prank(pauser);
        settlement.pause();
        vm.warp(block.timestamp + TIMEOUT / 2 - 1);
        bytes memory denied =
            abi.encodeWithSelector(IVppSettlement.MayNotCancel.selector, 1, stranger);
        _cancelByStranger(denied);
        vm.warp(block.timestamp + 1);
        _cancelByStranger("");
        _has(parties[0], 1, 0);
        _has(parties[1], 0, 1);
    }

    /// @notice VS-12: 2,000 trades among 200 accounts are a batch.
    function testLargestBatch() public {
        address[] memory accounts = new address[](200);
        for (uint160 i; i < 200; ++i) {
            accounts[i] = address(i + 1);
        }
        Book.Deal[] memory most = new Book.Deal[](2000);
        for (uint16 i; i < 2000; ++i) {
            most[i] = Book.Deal(i + 1, i % 200, (i + 1) % 200, 1, 0);
        }
        uint256[] memory words = Book.words(most);
        vm.prank(operator);
        settlement.proposeBatch(newKey(), CASH, accounts, words);
        vm.assertTrue(settlement.isSettled(2000), "the last one is in the batch");
    }

    /// @notice VS-61: a fee of a hundredth of a percent is one, and so is one cent of it.
    function testSmallestFee() public {
        vm.prank(admin);
        settlement.setFee(1, collector);
        vm.warp(block.timestamp + 7 days);
        deposit(parties[0], 9999);
        deals[0] = Book.Deal(1, 0, 1, 1000, 1_000_000); // a hundred for a megawatt-hour
        propose(newKey(), CASH, deals);
        vm.warp(block.timestamp + WINDOW);
        finalize(1, outcomeOf(CASH, deals, 1));
        _has(parties[1], 9999, 1);
        _has(collector, 1, 0);
    }

    /// @notice VS-06: a currency of 2 and of 36 decimals has cents that can be counted, and none beyond.
    function testDecimals() public {
        uint8[4] memory decimals = [1, 2, 36, 37];
        for (uint256 i; i < 4; ++i) {
            address other = vm.deployCode("Currencies.sol:PlainCurrency", abi.encode(decimals[i]));
            bytes memory terms = abi.encode(
                admin, 0, other, credits, WINDOW, TIMEOUT, BOND, NOTIONAL_CAP, CREDIT_CAP, collector
            );
            bool good = decimals[i] >= 2 && decimals[i] <= 36;
            try this.settlementOf(terms) {
                vm.assertTrue(good, "taken");
            } catch {
                vm.assertTrue(!good, "refused");
            }
        }
    }

    /// @dev Asked from outside, so that a refusal can be caught.
    function settlementOf(bytes calldata terms) external returns (address) {
        return vm.deployCode("VppSettlement.sol:VppSettlement", terms);
    }

    function _pauseFor(uint256 time) private {
        vm.prank(pauser);
        settlement.pause();
        vm.warp(block.timestamp + time);
        vm.prank(admin);
        settlement.unpause();
    }

    function _cancelByStranger(bytes memory denied) private {
        uint256[] memory words = new uint256[](1);
        words[0] = Book.word(deals[0]);
        IVppSettlement.Outcome memory outcome = outcomeOf(CREDIT, deals, 0);
        if (denied.length != 0) vm.expectRevert(denied);
        vm.prank(stranger);
        settlement.cancelBatch(1, outcome, words, "");
    }

    function _has(address account, uint256 cents, uint256 kilograms) private view {
        vm.assertEq(settlement.balanceOf(account), cents * UNIT, "cents");
        vm.assertEq(settlement.creditBalanceOf(account, CREDIT), kilograms, "kilograms");
    }
}
