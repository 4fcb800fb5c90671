// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IVppSettlement} from "../../../contracts/interfaces/IVppSettlement.sol";
import {Book} from "../base/Book.sol";
import {ICurrency, ISettlement} from "../base/SettlementPark.sol";
import {SettlementModel} from "./SettlementModel.sol";

/// @title Everybody who acts on VppSettlement, each function once
/// @dev Nothing here may revert. Where the model says that the contract refuses, the refusal is
/// expected; where it says that the contract accepts, the act must go through.
contract SettlementHandler is SettlementModel {
    using Book for Book.Deal[];

    /// @dev The highest number that was proposed; the next ones stand around 256 of them.
    uint64 private _lastSeq = 200;

    // ----------------------------------------------------------------- escrow

    function deposit(uint256 accountSeed, uint256 cents) external {
        address account = anyParty(accountSeed);
        cents = bound(cents, 0, 1e6);
        uint256 units = cents * UNIT;
        currency.mint(stranger, units);
        vm.prank(stranger);
        currency.approve(address(settlement), units);
        if (pausedModel || units == 0) {
            vm.expectRevert();
        } else {
            balance[account] += units;
            deposited += units;
        }
        vm.prank(stranger);
        settlement.deposit(account, units);
    }

    function withdraw(uint256 accountSeed, uint256 toSeed, uint256 units) external {
        (address account, address to) = (anyParty(accountSeed), anyParty(toSeed));
        units = bound(units, 0, balance[account] + UNIT);
        if (units % 3 != 0) units -= units % UNIT; // mostly whole cents
        if (units == 0 || units % UNIT != 0 || units > balance[account]) {
            vm.expectRevert();
        } else {
            balance[account] -= units;
            withdrawn += units;
        }
        vm.prank(account);
        settlement.withdraw(to, units);
    }

    /// @dev Currency that nobody deposited belongs to nobody.
    function give(uint256 units) external {
        units = bound(units, 0, 1e9);
        given += units;
        currency.mint(address(settlement), units);
    }

    // ---------------------------------------------------------------- batches

    function proposeBatch(uint256 seed, uint256 count) external {
        if (_batches.length == MAX_BATCHES) return;
        Book.Deal[] memory deals = _deals(seed, bound(count, 1, 12));
        bytes32 key = newKey();
        uint256[] memory words = deals.words();
        if (pausedModel || !isSolvent(deals)) vm.expectRevert();
        else modelPropose(key, deals);
        vm.prank(operator);
        uint256 batchId = settlement.proposeBatch(key, parties, words);
        if (batchId != 0) vm.assertEq(batchId, _batches.length, "batches count");
    }

    /// @dev Any trade of any batch, alone under a new key.
    function proposeAgain(uint256 batchSeed, uint256 dealSeed) external {
        if (_batches.length == 0 || _batches.length == MAX_BATCHES) return;
        uint256 batchId = anyBatch(batchSeed);
        Book.Deal[] memory all = dealsOf(batchId);
        Book.Deal[] memory deals = new Book.Deal[](1);
        deals[0] = all[dealSeed % all.length];
        bytes32 key = newKey();
        uint256[] memory words = deals.words();
        if (pausedModel || marked[deals[0].seq] || !isSolvent(deals)) vm.expectRevert();
        else modelPropose(key, deals);
        vm.prank(operator);
        settlement.proposeBatch(key, parties, words);
    }

    /// @dev A key of any batch, with a new trade.
    function proposeUnderUsedKey(uint256 batchSeed) external {
        if (_batches.length == 0) return;
        bytes32 key = _batches[anyBatch(batchSeed) - 1].key;
        uint256[] memory words = oneDeal(_lastSeq + 1).words();
        vm.expectRevert();
        vm.prank(operator);
        settlement.proposeBatch(key, parties, words);
    }

    function finalizeBatch(uint256 batchSeed, bool theNext) external {
        uint256 next = nextBatch();
        uint256 batchId = theNext ? next : bound(batchSeed, 1, _batches.length + 1);
        if (batchId > _batches.length) {
            vm.expectRevert();
            settlement.finalizeBatch(batchId, parties, new int256[](parties.length));
            return;
        }
        int256[] memory nets = dealsOf(batchId).nets(parties.length);
        bool good = !pausedModel && batchId == next && isProposed(batchId)
            && block.timestamp >= _batches[batchId - 1].finalizableAt;
        if (good) modelFinalize(batchId);
        else vm.expectRevert();
        vm.prank(stranger);
        settlement.finalizeBatch(batchId, parties, nets);
    }

    function cancelBatch(uint256 batchSeed) external {
        if (_batches.length == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        Book.Deal[] memory deals = dealsOf(batchId);
        int256[] memory nets = deals.nets(parties.length);
        uint256[] memory words = deals.words();
        if (isProposed(batchId)) modelCancel(batchId);
        else vm.expectRevert();
        vm.prank(operator);
        settlement.cancelBatch(batchId, parties, nets, words, "reason");
    }

    /// @dev With nets or trades that are not those of the proposal.
    function meddle(uint256 batchSeed, uint256 which, int64 amount) external {
        if (_batches.length == 0 || amount == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        Book.Deal[] memory deals = dealsOf(batchId);
        int256[] memory nets = deals.nets(parties.length);
        uint256[] memory words = deals.words();
        if (which % 3 == 0) {
            words[0] ^= 1 << 200; // another number
        } else {
            nets[0] += amount;
            nets[1] -= amount;
        }
        vm.expectRevert();
        vm.prank(operator);
        if (which % 3 == 1) settlement.finalizeBatch(batchId, parties, nets);
        else settlement.cancelBatch(batchId, parties, nets, words, "");
    }

    function skipCancelled(uint256 limit) external {
        settlement.skipCancelled(bound(limit, 0, 50));
    }

    // -------------------------------------------------------------- oversight

    /// @dev One time in four, so that a campaign is not mostly paused.
    function pause(uint256 seed) external {
        if (seed % 4 != 0) return;
        if (pausedModel) vm.expectRevert();
        pausedModel = true;
        vm.prank(pauser);
        settlement.pause();
    }

    function unpause() external {
        if (!pausedModel) vm.expectRevert();
        pausedModel = false;
        vm.prank(admin);
        settlement.unpause();
    }

    function wait_(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, 2 * WINDOW));
    }

    /// @dev Somebody without a role tries whatever needs one.
    function trespass(uint256 which, uint256 batchSeed) external {
        if (_batches.length == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        Book.Deal[] memory deals = dealsOf(batchId);
        int256[] memory nets = deals.nets(parties.length);
        bytes[5] memory calls = [
            abi.encodeCall(IVppSettlement.proposeBatch, (newKey(), parties, deals.words())),
            abi.encodeCall(IVppSettlement.cancelBatch, (batchId, parties, nets, deals.words(), "")),
            abi.encodeCall(IVppSettlement.pause, ()),
            abi.encodeCall(IVppSettlement.unpause, ()),
            abi.encodeCall(IVppSettlement.withdraw, (stranger, UNIT))
        ];
        vm.prank(stranger);
        (bool ok,) = address(settlement).call(calls[which % calls.length]);
        vm.assertTrue(!ok, "a stranger was let in");
    }

    // ------------------------------------------------------------- at the end

    /// @dev Whatever has happened: what is proposed is cancelled, and everybody takes its money.
    function everybodyLeaves() external {
        for (uint256 id = 1; id <= _batches.length; ++id) {
            if (!isProposed(id)) continue;
            Book.Deal[] memory deals = dealsOf(id);
            modelCancel(id);
            cancel(id, deals);
        }
        for (uint256 i; i < parties.length; ++i) {
            uint256 units = settlement.balanceOf(parties[i]);
            vm.assertEq(units, balance[parties[i]], "the last balance");
            if (units == 0) continue;
            vm.prank(parties[i]);
            settlement.withdraw(parties[i], units);
        }
        vm.assertEq(settlement.totalLocked(), 0, "something is locked");
        vm.assertEq(currency.balanceOf(address(settlement)), given, "something is left");
    }

    // -------------------------------------------------------------- the suite

    function contractUnderTest() external view returns (ISettlement, ICurrency) {
        return (settlement, currency);
    }

    /// @dev What a campaign may call.
    function acts() external pure returns (bytes4[] memory selectors) {
        selectors = new bytes4[](14);
        selectors[0] = this.deposit.selector;
        selectors[1] = this.withdraw.selector;
        selectors[2] = this.give.selector;
        selectors[3] = this.proposeBatch.selector;
        selectors[4] = this.proposeAgain.selector;
        selectors[5] = this.proposeUnderUsedKey.selector;
        selectors[6] = this.finalizeBatch.selector;
        selectors[7] = this.cancelBatch.selector;
        selectors[8] = this.meddle.selector;
        selectors[9] = this.skipCancelled.selector;
        selectors[10] = this.pause.selector;
        selectors[11] = this.unpause.selector;
        selectors[12] = this.wait_.selector;
        selectors[13] = this.trespass.selector;
    }

    /// @dev Trades with neighbouring and with far numbers, over more than one storage word of
    /// marks, at prices of both signs, some of a size that nobody has.
    function _deals(uint256 seed, uint256 count) private returns (Book.Deal[] memory deals) {
        deals = new Book.Deal[](count);
        for (uint256 i; i < count; ++i) {
            seed = uint256(keccak256(abi.encode(seed, i)));
            _lastSeq += 1 + (seed % 5 == 0 ? uint64(seed >> 8) % 400 : 0);
            uint256 buyer = (seed >> 16) % parties.length;
            uint256 seller = (buyer + 1 + (seed >> 32) % (parties.length - 1)) % parties.length;
            deals[i] = Book.Deal({
                seq: _lastSeq,
                buyer: uint16(buyer),
                seller: uint16(seller),
                quantity: uint48((seed >> 64) % 1e6),
                price: int48(int256((seed >> 128) % 4e6) - 1e6)
            });
        }
    }
}
