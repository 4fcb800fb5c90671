// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ISettlementEscrow} from "../../../contracts/interfaces/ISettlementEscrow.sol";
import {IVppSettlement} from "../../../contracts/interfaces/IVppSettlement.sol";
import {Book} from "../base/Book.sol";
import {SettlementPark} from "../base/SettlementPark.sol";

/// @title VppSettlement: what is refused, with which words, and what is published
contract SettlementTest is SettlementPark {
    using Book for Book.Deal[];

    Book.Deal[] private deals;

    function setUp() public {
        buildSettlement(3);
        for (uint256 i; i < 3; ++i) {
            deposit(parties[i], 1e6);
            depositCredits(parties[i], 1e6);
        }
        // Over three storage words of marks; the first party buys for 10.00 each time.
        for (uint64 i; i < 3; ++i) {
            deals.push(Book.Deal(255 + 300 * i, 0, 1, 1000, 100_000));
        }
    }

    // ------------------------------------------------------------------ escrow

    /// @notice VS-01, VS-02: what arrives is published; zero and parts of cents are refused.
    function testDeposit() public {
        currency.mint(stranger, UNIT + 1);
        vm.startPrank(stranger);
        currency.approve(address(settlement), UNIT + 1);
        vm.expectRevert(ISettlementEscrow.ZeroAddress.selector);
        settlement.deposit(address(0), UNIT);
        vm.expectRevert(ISettlementEscrow.ZeroAmount.selector);
        settlement.deposit(parties[0], 0);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlementEscrow.NotWholeCents.selector, UNIT + 1, UNIT)
        );
        settlement.deposit(parties[0], UNIT + 1);
        vm.expectEmit();
        emit ISettlementEscrow.Deposited(parties[0], stranger, UNIT, 1e6 * UNIT + UNIT);
        vm.assertEq(settlement.deposit(parties[0], UNIT), UNIT, "credited");
        vm.stopPrank();
    }

    /// @notice VS-02, VS-03: nobody takes more than it has, or to nowhere.
    function testWithdraw() public {
        vm.startPrank(parties[0]);
        vm.expectRevert(ISettlementEscrow.ZeroAddress.selector);
        settlement.withdraw(address(0), UNIT);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlementEscrow.BadReceiver.selector, address(settlement))
        );
        settlement.withdraw(address(settlement), UNIT);
        vm.expectRevert(ISettlementEscrow.ZeroAmount.selector);
        settlement.withdraw(stranger, 0);
        vm.expectRevert(poor(parties[0], 0, 1e6 * UNIT, (1e6 + 1) * UNIT));
        settlement.withdraw(stranger, (1e6 + 1) * UNIT);
        vm.expectEmit();
        emit ISettlementEscrow.Withdrawn(parties[0], stranger, UNIT, (1e6 - 1) * UNIT);
        settlement.withdraw(stranger, UNIT);

        vm.expectRevert(abi.encodeWithSelector(ISettlementEscrow.AssetNotTransferable.selector, 0));
        settlement.withdrawCredits(stranger, 0, 1);
        vm.expectRevert(ISettlementEscrow.ZeroAmount.selector);
        settlement.withdrawCredits(stranger, CREDIT, 0);
        vm.expectRevert(poor(parties[0], CREDIT, 1e6, 1e6 + 1));
        settlement.withdrawCredits(stranger, CREDIT, 1e6 + 1);
        vm.expectEmit();
        emit ISettlementEscrow.CreditsWithdrawn(parties[0], stranger, CREDIT, 1, 1e6 - 1);
        settlement.withdrawCredits(stranger, CREDIT, 1);
        vm.stopPrank();
    }

    /// @notice VS-01, VS-05, VS-07: credits come from their own contract, from somebody, for somebody.
    function testCreditsComeIn() public {
        credits.mint(stranger, CREDIT, 10);
        vm.expectRevert(abi.encodeWithSelector(ISettlementEscrow.MintRefused.selector, CREDIT));
        credits.mint(address(settlement), CREDIT, 1);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(ISettlementEscrow.BadDepositData.selector, 1));
        credits.safeTransferFrom(stranger, address(settlement), CREDIT, 1, "x");
        vm.prank(stranger);
        vm.expectRevert(ISettlementEscrow.ZeroAddress.selector);
        credits.safeTransferFrom(stranger, address(settlement), CREDIT, 1, abi.encode(address(0)));
        vm.prank(stranger);
        vm.expectRevert(ISettlementEscrow.ZeroAmount.selector);
        credits.safeTransferFrom(stranger, address(settlement), CREDIT, 0, "");
        (bool ok, bytes memory answer) = address(settlement)
            .call(
                abi.encodeWithSignature(
                    "onERC1155Received(address,address,uint256,uint256,bytes)",
                    stranger,
                    stranger,
                    CREDIT,
                    1,
                    ""
                )
            );
        vm.assertTrue(!ok, "another token");
        vm.assertEq(
            answer,
            abi.encodeWithSelector(ISettlementEscrow.ForeignToken.selector, address(this)),
            "another token"
        );
        vm.prank(stranger);
        vm.expectEmit();
        emit ISettlementEscrow.CreditsDeposited(parties[0], stranger, CREDIT, 3, 1e6 + 3);
        credits.safeTransferFrom(stranger, address(settlement), CREDIT, 3, abi.encode(parties[0]));
    }

    // ----------------------------------------------------------------- batches

    /// @notice VS-16: a batch that spans three storage words; each of its trades is refused singly.
    function testEveryTradeIsMarked() public {
        propose("key", CREDIT, deals);
        for (uint256 i; i < 3; ++i) {
            Book.Deal[] memory one = new Book.Deal[](1);
            one[0] = deals[i];
            refusesBatch(
                "other",
                CASH,
                one,
                abi.encodeWithSelector(IVppSettlement.AlreadySettled.selector, one[0].seq)
            );
            vm.expectRevert(
                abi.encodeWithSelector(IVppSettlement.AlreadySettled.selector, one[0].seq)
            );
            vm.prank(operator);
            settlement.settleOne(CASH, Book.trade(one[0], parties));
        }
    }

    /// @notice VS-17: a debtor without what it owes is named, for cash and for credits.
    function testSolvency() public {
        deals[0].quantity = 100_000_000; // 1,000,000.00
        refusesBatch("key", CASH, deals, poor(parties[0], 0, 1e6 * UNIT, (1e8 + 2000) * UNIT));
        deals[0].quantity = 1_000_001;
        deals[0].price = 0;
        refusesBatch("key", CREDIT, deals, poor(parties[1], CREDIT, 1e6, 1_002_001));
    }

    /// @notice VS-10, VS-11, VS-12, VS-25: key, size and asset of a batch.
    function testBatchIsRefused() public {
        refusesBatch(0, CASH, deals, abi.encodeWithSelector(IVppSettlement.EmptyKey.selector));
        refusesBatch(
            "key",
            CASH,
            new Book.Deal[](0),
            abi.encodeWithSelector(IVppSettlement.EmptyBatch.selector)
        );
        refusesBatch(
            "key",
            CASH,
            new Book.Deal[](2001),
            abi.encodeWithSelector(IVppSettlement.TooManyTrades.selector, 2001, 2000)
        );
        bytes memory stopped =
            abi.encodeWithSelector(ISettlementEscrow.AssetNotTransferable.selector, CREDIT);
        credits.freeze(CREDIT, true);
        refusesBatch("key", CREDIT, deals, stopped);
        refusesBatch(
            "key",
            1 << 64,
            deals,
            abi.encodeWithSelector(ISettlementEscrow.AssetNotTransferable.selector, 1 << 64)
        );
        credits.freeze(CREDIT, false);
        uint256 batchId = propose("key", CREDIT, deals);
        refusesBatch(
            "key",
            CASH,
            deals,
            abi.encodeWithSelector(IVppSettlement.KeyUsed.selector, bytes32("key"))
        );
        vm.warp(block.timestamp + WINDOW);
        credits.freeze(CREDIT, true);
        IVppSettlement.Outcome memory outcome = outcomeOf(CREDIT, deals, 0);
        vm.expectRevert(stopped);
        settlement.finalizeBatch(batchId, outcome);
        // Nothing else waits for it: anyone cancels it now.
        uint256[] memory words = deals.words();
        vm.prank(stranger);
        settlement.cancelBatch(batchId, outcome, words, "");
    }

    /// @notice VS-13: accounts ascend strictly and are not zero.
    function testAccounts() public {
        uint256[] memory words = deals.words();
        address[] memory accounts = new address[](201);
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IVppSettlement.TooManyAccounts.selector, 201, 200));
        settlement.proposeBatch("key", CASH, accounts, words);
        accounts = new address[](2);
        vm.expectRevert(ISettlementEscrow.ZeroAddress.selector);
        settlement.proposeBatch("key", CASH, accounts, words);
        accounts[0] = accounts[1] = parties[0];
        vm.expectRevert(abi.encodeWithSelector(IVppSettlement.AccountsNotSorted.selector, 1));
        settlement.proposeBatch("key", CASH, accounts, words);
        vm.stopPrank();
    }

    /// @notice VS-14, VS-15: what is wrong with a trade is said.
    function testTradeIsRefused() public {
        Book.Deal[] memory one = new Book.Deal[](1);
        one[0] = Book.Deal(7, 3, 0, 1000, 1000);
        bytes4 unknown = IVppSettlement.UnknownParty.selector;
        refusesBatch("key", CASH, one, abi.encodeWithSelector(unknown, 7, 3));
        (one[0].buyer, one[0].seller) = (0, 4);
        refusesBatch("key", CASH, one, abi.encodeWithSelector(unknown, 7, 4));
        one[0].seller = 0;
        refusesBatch("key", CASH, one, abi.encodeWithSelector(IVppSettlement.SelfTrade.selector, 7));
        uint256[] memory words = new uint256[](1);
        one[0].seller = 1;
        words[0] = Book.word(one[0], 11);
        vm.expectRevert(
            abi.encodeWithSelector(IVppSettlement.WrongTotal.selector, 7, int64(11), int256(10))
        );
        vm.prank(operator);
        settlement.proposeBatch("key", CASH, parties, words);
        deals[1].seq = deals[0].seq - 1;
        refusesBatch(
            "key",
            CASH,
            deals,
            abi.encodeWithSelector(IVppSettlement.SeqOutOfOrder.selector, deals[1].seq)
        );
    }

    /// @notice VS-18, VS-61: a batch is published with all that it comes to, and so is its end.
    function testBatchIsPublished() public {
        setFeeNow(50);
        IVppSettlement.Outcome memory outcome = outcomeOf(CREDIT, deals, 50);
        bytes32[] memory leaves = new bytes32[](3);
        for (uint256 i; i < 3; ++i) {
            leaves[i] = Book.leaf("key", deals[i], parties);
        }
        bytes32[] memory tree = Book.tree(leaves);
        uint256[] memory words = deals.words();
        uint64 time = uint64(block.timestamp + WINDOW);
        vm.expectEmit();
        emit IVppSettlement.BatchProposed(
            "key", 1, CREDIT, tree[0], time, parties, outcome.nets, outcome.creditNets, words
        );
        propose("key", CREDIT, deals);
        vm.assertEq(settlement.tradesRootOf(1), tree[0], "root");
        vm.assertEq(settlement.assetOf(1), CREDIT, "asset");
        IVppSettlement.Trade memory trade = Book.trade(deals[2], parties);
        vm.assertTrue(settlement.verifyTrade(1, trade, Book.proof(tree, 2)), "proof");
        vm.assertTrue(!settlement.verifyTrade(2, trade, Book.proof(tree, 2)), "of no batch");
        trade.cents += 1;
        vm.assertTrue(!settlement.verifyTrade(1, trade, Book.proof(tree, 2)), "altered");

        vm.expectRevert(abi.encodeWithSelector(IVppSettlement.WindowOpen.selector, 1, time));
        settlement.finalizeBatch(1, outcome);
        vm.warp(time);
        vm.expectEmit();
        emit IVppSettlement.BatchFinalized("key", 1, tree[0], 15, collector);
        settlement.finalizeBatch(1, outcome);
        vm.assertEq(settlement.balanceOf(collector), 15 * UNIT, "fee"); // 0.5 % of 30.00
    }

    /// @notice VS-04, VS-17, VS-20, VS-22, VS-24: what is locked leaves the debtors; it reaches the creditors
    /// or comes back, to the cent and to the kilogram.
    function testBooksOfABatch() public {
        propose("key", CREDIT, deals);
        _expect([uint256(1e6 - 3000), 1e6, 1e6], [uint256(1e6), 1e6 - 3000, 1e6], 3000);
        cancel(1, outcomeOf(CREDIT, deals, 0), deals);
        _expect([uint256(1e6), 1e6, 1e6], [uint256(1e6), 1e6, 1e6], 0);
        propose("again", CREDIT, deals);
        vm.warp(block.timestamp + WINDOW);
        finalize(2, outcomeOf(CREDIT, deals, 0));
        _expect([uint256(1e6 - 3000), 1e6 + 3000, 1e6], [uint256(1e6 + 3000), 1e6 - 3000, 1e6], 0);
    }

    function _expect(uint256[3] memory cents, uint256[3] memory kilograms, uint256 locked)
        private
        view
    {
        for (uint256 i; i < 3; ++i) {
            vm.assertEq(settlement.balanceOf(parties[i]), cents[i] * UNIT, "cents");
            uint256 held = settlement.creditBalanceOf(parties[i], CREDIT);
            vm.assertEq(held, kilograms[i], "kilograms");
        }
        (uint256 balances, uint256 held_) = settlement.totalsOf(CASH);
        vm.assertEq(balances, (3e6 - locked) * UNIT, "all cash");
        vm.assertEq(held_, locked * UNIT, "locked cash");
        vm.assertEq(settlement.totalBalance(), balances, "all cash, again");
        vm.assertEq(settlement.totalLocked(), held_, "locked cash, again");
        (balances, held_) = settlement.totalsOf(CREDIT);
        vm.assertEq(balances, 3e6 - locked, "all credits");
        vm.assertEq(held_, locked, "locked credits");
    }

    /// @notice VS-21, VS-23: a finalization passes 32 closed batches, and no more by itself.
    function testClosedBatchesArePassed() public {
        Book.Deal[] memory one = new Book.Deal[](1);
        one[0] = Book.Deal(1, 0, 1, 1000, 1000);
        IVppSettlement.Outcome memory outcome = outcomeOf(CASH, one, 0);
        for (uint256 id = 1; id <= 34; ++id) {
            propose(bytes32(id), CASH, one);
            if (id < 34) cancel(id, outcome, one);
        }
        vm.warp(block.timestamp + WINDOW);
        vm.expectRevert(abi.encodeWithSelector(IVppSettlement.OutOfOrder.selector, 34, 33));
        settlement.finalizeBatch(34, outcome);
        vm.assertEq(settlement.nextToFinalize(), 34, "the next that is open");
        settlement.skipClosed(1);
        settlement.finalizeBatch(34, outcome);
        vm.assertEq(settlement.nextToFinalize(), 35, "none is open");
    }

    /// @notice VS-21: a batch that was finalized in its turn, or co-signed, is none of those that are passed.
    function testFinalBatchesAreNotPassed() public {
        Book.Deal[] memory one = new Book.Deal[](1);
        one[0] = Book.Deal(1, 0, 1, 1000, 1000);
        IVppSettlement.Outcome memory outcome = outcomeOf(CASH, one, 0);
        propose("first", CASH, one);
        vm.warp(block.timestamp + WINDOW);
        finalize(1, outcome);
        one[0] = Book.Deal(2, 0, 1, 1000, 1000);
        (IVppSettlement.Settlement memory wanted, bytes[] memory signatures) =
            cosigned("second", CASH, one);
        vm.prank(member);
        settlement.settleCosigned(wanted, signatures);
        one[0] = Book.Deal(3, 0, 1, 1000, 1000);
        for (uint256 id = 3; id <= 35; ++id) {
            propose(bytes32(id), CASH, one);
            if (id < 35) cancel(id, outcome, one);
        }
        vm.warp(block.timestamp + WINDOW);
        finalize(35, outcome);
        vm.assertEq(settlement.nextToFinalize(), 36, "32 were passed, and two had been before");
    }

    /// @notice VS-21: batches are finalized in their order.
    function testOrder() public {
        propose("first", CASH, deals);
        Book.Deal[] memory one = new Book.Deal[](1);
        one[0] = Book.Deal(1, 0, 1, 1000, 1000);
        propose("second", CASH, one);
        vm.warp(block.timestamp + WINDOW);
        IVppSettlement.Outcome memory outcome = outcomeOf(CASH, one, 0);
        vm.expectRevert(abi.encodeWithSelector(IVppSettlement.OutOfOrder.selector, 2, 1));
        settlement.finalizeBatch(2, outcome);
        cancel(1, outcomeOf(CASH, deals, 0), deals);
        settlement.finalizeBatch(2, outcome);
        vm.expectRevert(
            abi.encodeWithSelector(
                IVppSettlement.BatchNotProposed.selector, 2, IVppSettlement.BatchStatus.Finalized
            )
        );
        settlement.finalizeBatch(2, outcome);
    }

    /// @notice VS-22: a cancellation is of the proposal's outcome and trades, in a short text.
    function testCancellationIsRefused() public {
        propose("key", CASH, deals);
        IVppSettlement.Outcome memory outcome = outcomeOf(CASH, deals, 0);
        uint256[] memory words = deals.words();
        vm.expectRevert(abi.encodeWithSelector(IVppSettlement.MayNotCancel.selector, 1, stranger));
        vm.prank(stranger);
        settlement.cancelBatch(1, outcome, words, "");
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IVppSettlement.TextTooLong.selector, 1025, 1024));
        settlement.cancelBatch(1, outcome, words, string(new bytes(1025)));
        words[0] += 1 << 192;
        vm.expectRevert(abi.encodeWithSelector(IVppSettlement.WrongTrades.selector, 1));
        settlement.cancelBatch(1, outcome, words, "");
        words[0] -= 1 << 192;
        outcome.nets[0] += 1;
        vm.expectRevert(abi.encodeWithSelector(IVppSettlement.WrongNets.selector, 1));
        settlement.cancelBatch(1, outcome, words, "");
        outcome.nets[0] -= 1;
        vm.expectEmit();
        emit IVppSettlement.BatchCancelled("key", 1, operator, "why");
        settlement.cancelBatch(1, outcome, words, "why");
        vm.expectRevert(
            abi.encodeWithSelector(
                IVppSettlement.BatchNotOpen.selector, 1, IVppSettlement.BatchStatus.Cancelled
            )
        );
        settlement.cancelBatch(1, outcome, words, "");
        vm.stopPrank();
    }

    /// @notice VS-10, VS-27: one trade by itself: what is refused, and what is published.
    function testSettleOne() public {
        setFeeNow(100);
        IVppSettlement.Trade memory trade = Book.trade(deals[0], parties);
        IVppSettlement.Trade memory wrong = Book.trade(deals[0], parties);
        vm.startPrank(operator);
        wrong.buyer = address(0);
        vm.expectRevert(ISettlementEscrow.ZeroAddress.selector);
        settlement.settleOne(CASH, wrong);
        (wrong.buyer, wrong.seller) = (parties[0], address(0));
        vm.expectRevert(ISettlementEscrow.ZeroAddress.selector);
        settlement.settleOne(CASH, wrong);
        wrong.seller = parties[0];
        vm.expectRevert(abi.encodeWithSelector(IVppSettlement.SelfTrade.selector, 255));
        settlement.settleOne(CASH, wrong);
        wrong.seller = parties[1];
        wrong.cents = 999;
        vm.expectRevert(
            abi.encodeWithSelector(
                IVppSettlement.WrongTotal.selector, 255, int64(999), int256(1000)
            )
        );
        settlement.settleOne(CASH, wrong);
        vm.expectEmit();
        emit IVppSettlement.TradeSettled(
            255, parties[0], parties[1], CREDIT, 1000, 100_000, 1000, 10, collector
        );
        settlement.settleOne(CREDIT, trade);
        vm.stopPrank();
        vm.assertEq(settlement.balanceOf(parties[0]), (1e6 - 1000) * UNIT, "buyer");
        vm.assertEq(settlement.balanceOf(parties[1]), (1e6 + 990) * UNIT, "seller");
        vm.assertEq(settlement.balanceOf(collector), 10 * UNIT, "collector");
        vm.assertEq(settlement.creditBalanceOf(parties[0], CREDIT), 1e6 + 1000, "credits");
    }

    /// @notice VS-26: the caps bound what one call of an operator moves.
    function testCaps() public {
        vm.prank(admin);
        vm.expectEmit();
        emit ISettlementEscrow.CapsChanged(NOTIONAL_CAP, 2999, CREDIT_CAP, 3000);
        settlement.setCaps(2999, 3000);
        bytes4 notional = IVppSettlement.NotionalAboveCap.selector;
        refusesBatch("key", CASH, deals, abi.encodeWithSelector(notional, 3000, 2999));
        vm.prank(admin);
        settlement.setCaps(3000, 2999);
        bytes4 quantity = IVppSettlement.CreditsAboveCap.selector;
        refusesBatch("key", CREDIT, deals, abi.encodeWithSelector(quantity, 3000, 2999));
        deals[0].quantity = 3000;
        vm.expectRevert(abi.encodeWithSelector(quantity, 3000, 2999));
        vm.prank(operator);
        settlement.settleOne(CREDIT, Book.trade(deals[0], parties));
        vm.prank(admin);
        settlement.setCaps(2999, 3000);
        vm.expectRevert(abi.encodeWithSelector(notional, 3000, 2999));
        vm.prank(operator);
        settlement.settleOne(CASH, Book.trade(deals[0], parties));
        deals[0].quantity = 1000;
        vm.prank(admin);
        settlement.setCaps(3000, 0);
        propose("key", CASH, deals);
    }

    // ------------------------------------------------------------- co-signed

    /// @notice VS-40, VS-41, VS-42: everybody's signature, in time, and a member who sends.
    function testCosigned() public {
        (IVppSettlement.Settlement memory wanted, bytes[] memory signatures) =
            cosigned("key", CREDIT, deals);
        vm.assertEq(settlement.hashSettlement(wanted), digestOf(wanted), "digest");
        vm.expectRevert(refusedFor(operator, MEMBER));
        vm.prank(operator);
        settlement.settleCosigned(wanted, signatures);
        vm.startPrank(member);
        (bytes memory good, bytes memory other) = (signatures[2], signatures[1]);
        signatures[2] = other;
        vm.expectRevert(abi.encodeWithSelector(IVppSettlement.BadSignature.selector, parties[2]));
        settlement.settleCosigned(wanted, signatures);
        signatures[2] = good;
        bytes[] memory few = new bytes[](2);
        vm.expectRevert(abi.encodeWithSelector(IVppSettlement.WrongSignatureCount.selector, 2, 3));
        settlement.settleCosigned(wanted, few);
        vm.warp(block.timestamp + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IVppSettlement.SignaturesExpired.selector, wanted.deadline)
        );
        settlement.settleCosigned(wanted, signatures);
        vm.warp(block.timestamp - 1);
        vm.expectEmit();
        emit IVppSettlement.BatchCosigned("key", 1, digestOf(wanted));
        settlement.settleCosigned(wanted, signatures);
        vm.stopPrank();
        vm.assertTrue(settlement.batchStatus(1) == IVppSettlement.BatchStatus.Finalized, "final");
        vm.assertEq(settlement.nextToFinalize(), 2, "next");
    }

    // ------------------------------------------------- disputes, fee, pause

    /// @notice VS-50, VS-51, VS-52, VS-53: a party disputes once, in time, with a bond; the arbiter rejects in time.
    function testDispute() public {
        propose("key", CASH, deals);
        bytes32[] memory leaves = new bytes32[](3);
        for (uint256 i; i < 3; ++i) {
            leaves[i] = Book.leaf("key", deals[i], parties);
        }
        bytes32[] memory proof = Book.proof(Book.tree(leaves), 1);
        IVppSettlement.Trade memory trade = Book.trade(deals[1], parties);
        vm.expectRevert(
            abi.encodeWithSelector(IVppSettlement.NotAParty.selector, parties[2], trade.seq)
        );
        vm.prank(parties[2]);
        settlement.disputeTrade(1, trade, proof);
        trade.cents += 1;
        vm.expectRevert(abi.encodeWithSelector(IVppSettlement.WrongTrades.selector, 1));
        vm.prank(parties[0]);
        settlement.disputeTrade(1, trade, proof);
        trade.cents -= 1;
        vm.warp(START + WINDOW - 1);
        vm.expectEmit();
        emit IVppSettlement.TradeDisputed(
            "key", 1, parties[0], trade.seq, BOND, uint64(block.timestamp + TIMEOUT)
        );
        vm.prank(parties[0]);
        settlement.disputeTrade(1, trade, proof);
        vm.assertEq(settlement.balanceOf(parties[0]), (1e6 - 3000 - BOND) * UNIT, "bond");
        vm.assertEq(settlement.totalLocked(), (3000 + BOND) * UNIT, "locked");
        vm.expectRevert(
            abi.encodeWithSelector(
                IVppSettlement.BatchNotProposed.selector, 1, IVppSettlement.BatchStatus.Disputed
            )
        );
        vm.prank(parties[1]);
        settlement.disputeTrade(1, trade, proof);
        vm.warp(block.timestamp + TIMEOUT - 1);
        vm.expectEmit();
        emit IVppSettlement.DisputeResolved(
            "key", 1, parties[0], false, collector, BOND, uint64(block.timestamp + 1)
        );
        vm.prank(arbiter);
        settlement.rejectDispute(1);
        vm.assertEq(settlement.balanceOf(collector), BOND * UNIT, "the bond is lost");
        vm.assertEq(settlement.totalLocked(), 3000 * UNIT, "unlocked");
        vm.expectRevert(
            abi.encodeWithSelector(
                IVppSettlement.BatchNotDisputed.selector, 1, IVppSettlement.BatchStatus.Proposed
            )
        );
        vm.prank(arbiter);
        settlement.rejectDispute(1);
        vm.expectRevert(
            abi.encodeWithSelector(IVppSettlement.DisputedBefore.selector, 1, parties[0])
        );
        vm.prank(parties[0]);
        settlement.disputeTrade(1, trade, proof);
        vm.prank(parties[1]);
        settlement.disputeTrade(1, trade, proof);
        uint256 time = block.timestamp + TIMEOUT;
        vm.warp(time);
        vm.expectRevert(abi.encodeWithSelector(IVppSettlement.DisputeTimedOut.selector, 1, time));
        vm.prank(arbiter);
        settlement.rejectDispute(1);

        // Timed out, so anyone cancels it; the bond goes back.
        IVppSettlement.Outcome memory outcome = outcomeOf(CASH, deals, 0);
        uint256[] memory words = deals.words();
        vm.warp(time - 1);
        vm.expectRevert(abi.encodeWithSelector(IVppSettlement.MayNotCancel.selector, 1, stranger));
        vm.prank(stranger);
        settlement.cancelBatch(1, outcome, words, "");
        vm.warp(time);
        vm.prank(stranger);
        settlement.cancelBatch(1, outcome, words, "");
        vm.assertEq(settlement.balanceOf(parties[1]), 1e6 * UNIT, "the bond is back");
        vm.assertEq(settlement.totalLocked(), 0, "nothing is locked");
        vm.assertEq(settlement.disputeOf(1).account, address(0), "no dispute");
    }

    /// @notice VS-10, VS-31, VS-32, VS-33, VS-42, VS-51, VS-60: each role is asked for, of the holders of all others.
    function testRoles() public {
        Book.Deal[] memory one = new Book.Deal[](1);
        one[0] = Book.Deal(1, 0, 1, 1000, 1000);
        uint256[] memory words = one.words();
        (IVppSettlement.Settlement memory wanted, bytes[] memory signatures) =
            cosigned("key", CASH, one);
        IVppSettlement.Trade memory trade = Book.trade(one[0], parties);
        onlyFor(
            operator,
            OPERATOR,
            abi.encodeCall(settlement.proposeBatch, ("key", CASH, parties, words))
        );
        onlyFor(operator, OPERATOR, abi.encodeCall(settlement.settleOne, (CASH, trade)));
        onlyFor(member, MEMBER, abi.encodeCall(settlement.settleCosigned, (wanted, signatures)));
        onlyFor(arbiter, ARBITER, abi.encodeCall(settlement.rejectDispute, (1)));
        onlyFor(pauser, PAUSER, abi.encodeCall(settlement.pause, ()));
        onlyFor(admin, 0, abi.encodeCall(settlement.unpause, ()));
        onlyFor(admin, 0, abi.encodeCall(settlement.setCaps, (1, 1)));
        onlyFor(admin, 0, abi.encodeCall(settlement.setFee, (1, stranger)));
    }

    /// @notice VS-10: an operator and an arbiter cancel what is proposed, and no holder of another role.
    function testWhoCancels() public {
        Book.Deal[] memory one = new Book.Deal[](1);
        one[0] = Book.Deal(1, 0, 1, 1000, 1000);
        propose("key", CASH, one);
        uint256[] memory words = one.words();
        IVppSettlement.Outcome memory outcome = outcomeOf(CASH, one, 0);
        address[6] memory others = [admin, pauser, member, collector, parties[0], stranger];
        for (uint256 i; i < others.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(IVppSettlement.MayNotCancel.selector, 1, others[i])
            );
            vm.prank(others[i]);
            settlement.cancelBatch(1, outcome, words, "");
        }
        vm.prank(arbiter);
        settlement.cancelBatch(1, outcome, words, "");
    }

    function onlyFor(address holder, bytes32 role, bytes memory call) private {
        address[8] memory callers =
            [admin, operator, pauser, arbiter, member, collector, parties[0], stranger];
        for (uint256 i; i < callers.length; ++i) {
            if (callers[i] != holder) checkRefused(callers[i], role, address(settlement), call);
        }
    }

    /// @notice VS-50: after its window a batch is disputed no more.
    function testDisputeComesInTime() public {
        propose("key", CASH, deals);
        IVppSettlement.Trade memory trade = Book.trade(deals[1], parties);
        vm.warp(START + WINDOW);
        vm.expectRevert(
            abi.encodeWithSelector(IVppSettlement.WindowOver.selector, 1, START + WINDOW)
        );
        vm.prank(parties[0]);
        settlement.disputeTrade(1, trade, new bytes32[](0));
    }

    /// @notice VS-60: a fee is capped, announced seven days before, and published.
    function testFee() public {
        vm.startPrank(admin);
        vm.expectRevert(abi.encodeWithSelector(ISettlementEscrow.FeeTooHigh.selector, 101, 100));
        settlement.setFee(101, collector);
        vm.expectRevert(ISettlementEscrow.ZeroAddress.selector);
        settlement.setFee(1, address(0));
        uint40 time = uint40(block.timestamp + 7 days);
        vm.expectEmit();
        emit ISettlementEscrow.FeeChanged(0, 100, collector, stranger, time);
        settlement.setFee(100, stranger);
        vm.stopPrank();
        (uint16 bps, address to, uint40 from) = settlement.pendingFee();
        vm.assertTrue(bps == 100 && to == stranger && from == time, "pending");
        vm.warp(time - 1);
        vm.assertTrue(settlement.feeBps() == 0 && settlement.feeCollector() == collector, "old");
        vm.warp(time);
        vm.assertTrue(settlement.feeBps() == 100 && settlement.feeCollector() == stranger, "new");
    }

    /// @notice VS-30, VS-31: a pause stops what comes in and what is settled, and no exit.
    function testPause() public {
        propose("key", CASH, deals);
        vm.expectRevert(ISettlementEscrow.ExpectedPause.selector);
        vm.prank(admin);
        settlement.unpause();
        vm.expectEmit();
        emit ISettlementEscrow.Paused(pauser);
        vm.prank(pauser);
        settlement.pause();
        bytes4 paused = ISettlementEscrow.EnforcedPause.selector;
        vm.expectRevert(paused);
        vm.prank(pauser);
        settlement.pause();
        vm.expectRevert(paused);
        settlement.deposit(stranger, UNIT);
        Book.Deal[] memory one = new Book.Deal[](1);
        refusesBatch("other", CASH, one, abi.encodeWithSelector(paused));
        vm.expectRevert(paused);
        vm.prank(operator);
        settlement.settleOne(CASH, Book.trade(deals[0], parties));
        IVppSettlement.Outcome memory outcome = outcomeOf(CASH, deals, 0);
        vm.expectRevert(paused);
        settlement.finalizeBatch(1, outcome);
        cancel(1, outcome, deals);
        vm.prank(parties[0]);
        settlement.withdraw(parties[0], UNIT);
        vm.prank(parties[0]);
        settlement.withdrawCredits(parties[0], CREDIT, 1);
        vm.expectEmit();
        emit ISettlementEscrow.Unpaused(admin);
        vm.prank(admin);
        settlement.unpause();
    }

    // ------------------------------------------------------------------ shared

    function setFeeNow(uint16 bps) private {
        vm.prank(admin);
        settlement.setFee(bps, collector);
        vm.warp(block.timestamp + 7 days);
    }

    function poor(address account, uint256 asset, uint256 has, uint256 needs)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(
            ISettlementEscrow.InsufficientBalance.selector, account, asset, has, needs
        );
    }

    function refusesBatch(
        bytes32 key,
        uint256 asset,
        Book.Deal[] memory wanted,
        bytes memory reason
    ) private {
        uint256[] memory words = wanted.words();
        vm.expectRevert(reason);
        vm.prank(operator);
        settlement.proposeBatch(key, asset, parties, words);
    }
}
