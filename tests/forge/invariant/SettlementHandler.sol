// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ISettlementEscrow} from "../../../contracts/interfaces/ISettlementEscrow.sol";
import {IVppSettlement} from "../../../contracts/interfaces/IVppSettlement.sol";
import {Book} from "../base/Book.sol";
import {ICredits, ICurrency, ISettlement} from "../base/SettlementPark.sol";
import {SettlementActs} from "./SettlementActs.sol";

/// @title Everybody who settles and disputes on VppSettlement, each function once
contract SettlementHandler is SettlementActs {
    using Book for Book.Deal[];

    // ------------------------------------------------------------- settlement

    function settleOne(uint256 seed, uint256 assetSeed, bool again) external {
        if (seqs.length >= MAX_SEQS) return;
        uint256 asset = anyAsset(assetSeed);
        Book.Deal[] memory deals = _deals(seed, 1);
        if (again && seqs.length != 0) deals[0].seq = uint64(seqs[seed % seqs.length]);
        bool good = !pausedModel && !marked[deals[0].seq] && mayMove(asset)
            && isWithinCaps(asset, deals) && isSolventGross(asset, deals[0]);
        if (good) modelSettleOne(asset, deals[0]);
        else vm.expectRevert();
        vm.prank(operator);
        settlement.settleOne(asset, Book.trade(deals[0], parties));
    }

    function proposeBatch(uint256 seed, uint256 assetSeed, uint256 count) external {
        if (_batches.length == MAX_BATCHES || seqs.length >= MAX_SEQS) return;
        _propose(newKey(), anyAsset(assetSeed), _deals(seed, bound(count, 1, 12)), true);
    }

    /// @dev Any trade of any batch, alone under a new key.
    function proposeAgain(uint256 batchSeed, uint256 dealSeed) external {
        if (_batches.length == 0 || _batches.length == MAX_BATCHES) return;
        uint256 batchId = anyBatch(batchSeed);
        Book.Deal[] memory all = dealsOf(batchId);
        Book.Deal[] memory deals = new Book.Deal[](1);
        deals[0] = all[dealSeed % all.length];
        _propose(newKey(), _batches[batchId - 1].asset, deals, !marked[deals[0].seq]);
    }

    /// @dev A key of any batch, with a new trade.
    function proposeUnderUsedKey(uint256 batchSeed, uint256 seed) external {
        if (_batches.length == 0) return;
        _propose(_batches[anyBatch(batchSeed) - 1].key, CASH, _deals(seed, 1), false);
    }

    function _propose(bytes32 key, uint256 asset, Book.Deal[] memory deals, bool fresh) private {
        uint256[] memory words = deals.words();
        bool good = fresh && !pausedModel && mayMove(asset) && isWithinCaps(asset, deals)
            && isSolvent(asset, deals);
        if (good) modelPropose(key, asset, deals, false);
        else vm.expectRevert();
        vm.prank(operator);
        uint256 batchId = settlement.proposeBatch(key, asset, parties, words);
        if (good) vm.assertEq(batchId, _batches.length, "batches count");
    }

    /// @dev No cap holds for what all have signed. One signature may be another party's.
    function settleCosigned(uint256 seed, uint256 assetSeed, uint256 count, uint256 forged)
        external
    {
        if (_batches.length == MAX_BATCHES || seqs.length >= MAX_SEQS) return;
        uint256 asset = anyAsset(assetSeed);
        Book.Deal[] memory deals = _deals(seed, bound(count, 1, 12));
        bytes32 key = newKey();
        (IVppSettlement.Settlement memory wanted, bytes[] memory signatures) =
            cosigned(key, asset, deals);
        bool forge = forged % 4 == 0;
        if (forge) signatures[0] = signatures[1];
        if (!pausedModel && !forge && mayMove(asset) && isSolvent(asset, deals)) {
            modelPropose(key, asset, deals, true);
            modelFinalize(_batches.length);
        } else {
            vm.expectRevert();
        }
        vm.prank(member);
        settlement.settleCosigned(wanted, signatures);
    }

    function finalizeBatch(uint256 batchSeed, bool theNext) external {
        uint256 next = nextBatch();
        uint256 batchId = theNext ? next : bound(batchSeed, 1, _batches.length + 1);
        IVppSettlement.Outcome memory outcome;
        if (batchId > _batches.length) {
            vm.expectRevert();
            settlement.finalizeBatch(batchId, outcome);
            return;
        }
        outcome = outcomeOfBatch(batchId);
        bool good = !pausedModel && batchId == next
            && is_(batchId, IVppSettlement.BatchStatus.Proposed)
            && block.timestamp >= _batches[batchId - 1].finalizableAt
            && mayMove(_batches[batchId - 1].asset);
        if (good) modelFinalize(batchId);
        else vm.expectRevert();
        vm.prank(stranger);
        settlement.finalizeBatch(batchId, outcome);
    }

    /// @dev By the operator, by the arbiter, or by anyone.
    function cancelBatch(uint256 batchSeed, uint256 senderSeed) external {
        if (_batches.length == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        address sender = [operator, arbiter, stranger][senderSeed % 3];
        IVppSettlement.Outcome memory outcome = outcomeOfBatch(batchId);
        uint256[] memory words = dealsOf(batchId).words();
        bool disputed = is_(batchId, IVppSettlement.BatchStatus.Disputed);
        bool may = sender != stranger
            || (disputed && block.timestamp >= _batches[batchId - 1].timeoutAt)
            || isHeldByPauses(batchId) || !mayMove(_batches[batchId - 1].asset);
        if (isOpen(batchId) && may) modelCancel(batchId);
        else vm.expectRevert();
        vm.prank(sender);
        settlement.cancelBatch(batchId, outcome, words, "reason");
    }

    /// @dev With nets or trades that are not those of the proposal.
    function meddle(uint256 batchSeed, uint256 which, int64 amount) external {
        if (_batches.length == 0 || amount == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        IVppSettlement.Outcome memory outcome = outcomeOfBatch(batchId);
        uint256[] memory words = dealsOf(batchId).words();
        if (which % 3 == 0) {
            words[0] ^= 1 << 200; // another number
        } else {
            outcome.nets[0] += amount;
            outcome.nets[1] -= amount;
        }
        vm.expectRevert();
        vm.prank(operator);
        if (which % 3 == 1) settlement.finalizeBatch(batchId, outcome);
        else settlement.cancelBatch(batchId, outcome, words, "");
    }

    function skipClosed(uint256 limit) external {
        settlement.skipClosed(bound(limit, 0, 50));
    }

    // --------------------------------------------------------------- disputes

    /// @dev By the buyer of a trade, or by somebody who may be no party of it.
    function disputeTrade(uint256 batchSeed, uint256 dealSeed, uint256 senderSeed) external {
        if (_batches.length == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        Book.Deal[] memory deals = dealsOf(batchId);
        uint256 place = dealSeed % deals.length;
        IVppSettlement.Trade memory trade = Book.trade(deals[place], parties);
        bytes32[] memory proof = _proof(batchId, deals, place);
        address sender = senderSeed % 2 == 0 ? trade.buyer : anyParty(senderSeed / 2);
        bool good = is_(batchId, IVppSettlement.BatchStatus.Proposed)
            && block.timestamp < _batches[batchId - 1].finalizableAt
            && (sender == trade.buyer || sender == trade.seller) && !_hasDisputed[batchId][sender]
            && balance[CASH][sender] >= BOND * UNIT;
        if (good) modelDispute(batchId, sender);
        else vm.expectRevert();
        vm.prank(sender);
        settlement.disputeTrade(batchId, trade, proof);
    }

    function rejectDispute(uint256 batchSeed) external {
        if (_batches.length == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        bool good = is_(batchId, IVppSettlement.BatchStatus.Disputed)
            && block.timestamp < _batches[batchId - 1].timeoutAt;
        if (good) modelReject(batchId);
        else vm.expectRevert();
        vm.prank(arbiter);
        settlement.rejectDispute(batchId);
    }

    function _proof(uint256 batchId, Book.Deal[] memory deals, uint256 place)
        private
        view
        returns (bytes32[] memory)
    {
        bytes32[] memory leaves = new bytes32[](deals.length);
        for (uint256 i; i < deals.length; ++i) {
            leaves[i] = Book.leaf(_batches[batchId - 1].key, deals[i], parties);
        }
        return Book.proof(Book.tree(leaves), place);
    }

    /// @dev One trade by itself: nobody owes less for what it gains.
    function isSolventGross(uint256 asset, Book.Deal memory deal) private view returns (bool) {
        Book.Deal[] memory one = new Book.Deal[](1);
        one[0] = deal;
        return isSolvent(asset, one);
    }

    /// @dev Somebody without a role tries whatever needs one.
    function trespass(uint256 which, uint256 seed) external {
        Book.Deal[] memory deals = _deals(seed, 1);
        (IVppSettlement.Settlement memory wanted, bytes[] memory signatures) =
            cosigned(newKey(), CASH, deals);
        bytes[9] memory calls = [
            abi.encodeCall(IVppSettlement.proposeBatch, (newKey(), 0, parties, deals.words())),
            abi.encodeCall(IVppSettlement.settleOne, (0, Book.trade(deals[0], parties))),
            abi.encodeCall(IVppSettlement.settleCosigned, (wanted, signatures)),
            abi.encodeCall(IVppSettlement.rejectDispute, (1)),
            abi.encodeCall(ISettlementEscrow.pause, ()),
            abi.encodeCall(ISettlementEscrow.unpause, ()),
            abi.encodeCall(ISettlementEscrow.setFee, (1, stranger)),
            abi.encodeCall(ISettlementEscrow.setCaps, (1, 1)),
            abi.encodeCall(ISettlementEscrow.withdraw, (stranger, UNIT))
        ];
        vm.prank(stranger);
        (bool ok,) = address(settlement).call(calls[which % calls.length]);
        vm.assertTrue(!ok, "a stranger was let in");
    }

    // ------------------------------------------------------------- at the end

    /// @dev Whatever has happened: what is open is cancelled, and everybody takes what it has.
    function everybodyLeaves() external {
        credits.freeze(CREDIT, false);
        for (uint256 id = 1; id <= _batches.length; ++id) {
            if (!isOpen(id)) continue;
            IVppSettlement.Outcome memory outcome = outcomeOfBatch(id);
            Book.Deal[] memory deals = dealsOf(id);
            modelCancel(id);
            cancel(id, outcome, deals);
        }
        for (uint256 i; i < parties.length; ++i) {
            _leave(parties[i]);
        }
        _leave(collector);
        vm.assertEq(settlement.totalLocked(), 0, "something is locked");
        vm.assertEq(currency.balanceOf(address(settlement)), given, "something is left");
        vm.assertEq(credits.balanceOf(address(settlement), CREDIT), 0, "credits are left");
    }

    function _leave(address account) private {
        uint256 units = settlement.balanceOf(account);
        vm.assertEq(units, balance[CASH][account], "the last balance");
        vm.prank(account);
        if (units != 0) settlement.withdraw(account, units);
        else settlement.balanceOf(account);
        units = settlement.creditBalanceOf(account, CREDIT);
        vm.prank(account);
        if (units != 0) settlement.withdrawCredits(account, CREDIT, units);
        else settlement.balanceOf(account);
    }

    // -------------------------------------------------------------- the suite

    function contractUnderTest() external view returns (ISettlement, ICurrency, ICredits) {
        return (settlement, currency, credits);
    }

    /// @dev What a campaign may call.
    function acts() external pure returns (bytes4[] memory selectors) {
        bytes4[23] memory all = [
            this.deposit.selector,
            this.withdraw.selector,
            this.give.selector,
            this.depositCredits.selector,
            this.depositCreditsInBatches.selector,
            this.withdrawCredits.selector,
            this.freeze.selector,
            this.setFee.selector,
            this.setCaps.selector,
            this.pause.selector,
            this.unpause.selector,
            this.wait_.selector,
            this.settleOne.selector,
            this.proposeBatch.selector,
            this.proposeAgain.selector,
            this.proposeUnderUsedKey.selector,
            this.settleCosigned.selector,
            this.finalizeBatch.selector,
            this.cancelBatch.selector,
            this.meddle.selector,
            this.skipClosed.selector,
            this.disputeTrade.selector,
            this.rejectDispute.selector
        ];
        selectors = new bytes4[](all.length + 1);
        for (uint256 i; i < all.length; ++i) {
            selectors[i] = all[i];
        }
        selectors[all.length] = this.trespass.selector;
    }
}
