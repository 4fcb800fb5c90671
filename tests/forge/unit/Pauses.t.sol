// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IVppSettlement} from "../../../contracts/interfaces/IVppSettlement.sol";
import {Book} from "../base/Book.sol";
import {SettlementPark} from "../base/SettlementPark.sol";

/// @title When pauses free a batch, by the list of all pauses: no sum is kept here
contract PausesTest is SettlementPark {
    struct Pause {
        uint256 from;
        uint256 to; // zero while it holds
    }

    Pause[] private pauses;
    Book.Deal[] private deals;

    uint256 private batchId;
    bool private open;
    uint256 private proposedAt;
    uint256 private windowEnd;
    uint256 private windowLeft;
    uint256 private timeoutAt; // zero while nobody disputes
    uint256 private disputes;

    function setUp() public {
        buildSettlement(2);
        deposit(parties[0], 1_000_000);
        deposit(parties[1], 1_000_000);
        deals.push(Book.Deal(1, 0, 1, 1, 100_000));
    }

    /// @notice VS-34: whatever was paused, resumed, disputed and rejected when, a stranger cancels at
    /// the first second at which it may, and at none before.
    function testFuzzPausesFreeABatchToTheSecond(uint16[64] memory acts) public {
        for (uint256 i; i < acts.length; ++i) {
            _act(acts[i] % 8, acts[i] >> 3);
            if (open) _cancelByStranger();
        }
    }

    function _act(uint256 act, uint256 value) private {
        if (act < 2) vm.warp(block.timestamp + (act == 0 ? value : value % WINDOW));
        else if (act == 2) _waitUntilDue(value % 2);
        else if (act == 3) _pause();
        else if (act == 4) _resume();
        else if (act == 5) _propose();
        else if (act == 6) _dispute();
        else _reject();
        if (act == 4 && value % 2 == 0) _pause(); // within the same second
    }

    // -------------------------------------------------------------------- acts

    function _waitUntilDue(uint256 before) private {
        if (!open || !_isPaused()) return;
        uint256 held = _held();
        uint256 due = windowEnd + TIMEOUT;
        if (held < TIMEOUT && block.timestamp + TIMEOUT - held > due) {
            due = block.timestamp + TIMEOUT - held;
        }
        if (due - before > block.timestamp) vm.warp(due - before);
    }

    function _pause() private {
        if (_isPaused()) return;
        vm.prank(pauser);
        settlement.pause();
        pauses.push(Pause(block.timestamp, 0));
    }

    function _resume() private {
        if (!_isPaused()) return;
        vm.prank(admin);
        settlement.unpause();
        pauses[pauses.length - 1].to = block.timestamp;
    }

    function _propose() private {
        if (open || _isPaused()) return;
        ++deals[0].seq;
        batchId = propose(newKey(), CASH, deals);
        open = true;
        (proposedAt, windowEnd) = (block.timestamp, block.timestamp + WINDOW);
        (timeoutAt, disputes) = (0, 0);
    }

    function _dispute() private {
        if (!open || timeoutAt != 0 || block.timestamp >= windowEnd || disputes == 2) return;
        Book.Deal memory deal = deals[0];
        IVppSettlement.Trade memory trade = IVppSettlement.Trade(
            deal.seq,
            parties[0],
            parties[1],
            deal.quantity,
            deal.price,
            Book.centsOf(deal.quantity, deal.price)
        );
        vm.prank(parties[disputes++]);
        settlement.disputeTrade(batchId, trade, new bytes32[](0));
        (timeoutAt, windowLeft) = (block.timestamp + TIMEOUT, windowEnd - block.timestamp);
    }

    function _reject() private {
        if (!open || block.timestamp >= timeoutAt) return;
        vm.prank(arbiter);
        settlement.rejectDispute(batchId);
        (timeoutAt, windowEnd) = (0, block.timestamp + windowLeft);
    }

    function _cancelByStranger() private {
        uint256[] memory words = new uint256[](1);
        words[0] = Book.word(deals[0]);
        IVppSettlement.Outcome memory outcome = outcomeOf(CASH, deals, 0);
        open = !_mayCancel();
        if (open) {
            vm.expectRevert(
                abi.encodeWithSelector(IVppSettlement.MayNotCancel.selector, batchId, stranger)
            );
        }
        vm.prank(stranger);
        settlement.cancelBatch(batchId, outcome, words, "");
    }

    // ------------------------------------------------------------------- truth

    function _mayCancel() private view returns (bool) {
        if (timeoutAt != 0 && block.timestamp >= timeoutAt) return true;
        return _isPaused() && _held() >= TIMEOUT && block.timestamp >= windowEnd + TIMEOUT;
    }

    function _isPaused() private view returns (bool) {
        return pauses.length != 0 && pauses[pauses.length - 1].to == 0;
    }

    /// @dev How many seconds since the proposal lie within a pause.
    function _held() private view returns (uint256 time) {
        for (uint256 i; i < pauses.length; ++i) {
            uint256 from = pauses[i].from < proposedAt ? proposedAt : pauses[i].from;
            uint256 to = pauses[i].to == 0 ? block.timestamp : pauses[i].to;
            if (to > from) time += to - from;
        }
    }
}
