// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Netting} from "../../../contracts/libraries/Netting.sol";
import {TradeMarks} from "../../../contracts/libraries/TradeMarks.sol";
import {TradeWord} from "../../../contracts/libraries/TradeWord.sol";
import {Book} from "../base/Book.sol";
import {Symbolic} from "../base/Symbolic.sol";

/// @title Properties of the libraries of settlement, for all words
/// @dev Batches of one trade: with two, the tree writes to a place that is not known, which Halmos
/// does not follow. Trees, and marks of many trades at once, are fuzzed.
contract TradesProperties is Symbolic {
    using Netting for TradeMarks.Marks;
    using TradeMarks for TradeMarks.Marks;
    using TradeWord for uint256;

    TradeMarks.Marks private _marks;

    /// @notice VS-14, VS-18: reading a word is the inverse of writing it.
    function check_wordIsReadAsWritten(Book.Deal calldata deal, int64 cents) external pure {
        uint256 word = Book.word(deal, cents);
        vm.assertEq(word.seq(), deal.seq, "seq");
        vm.assertEq(word.buyer(), deal.buyer, "buyer");
        vm.assertEq(word.seller(), deal.seller, "seller");
        vm.assertEq(word.quantity(), deal.quantity, "quantity");
        vm.assertEq(word.price(), deal.price, "price");
        vm.assertEq(word.cents(), cents, "cents");
    }

    /// @notice VS-16: marking two numbers marks these two and no third, and the same one not twice.
    function check_marksAreExact(uint64 first, uint64 second, uint64 third) external {
        this.mark(_words(first));
        (bool ok,) = address(this).call(abi.encodeCall(this.mark, (_words(second))));
        vm.assertTrue(ok == (first != second), "twice");
        vm.assertTrue(_marks.isMarked(first) && _marks.isMarked(second), "marked");
        bool expected = third == first || third == second;
        vm.assertTrue(_marks.isMarked(third) == expected, "a third");
    }

    /// @notice VS-16: a trade alone and a trade of a batch exclude each other.
    function check_oneAndBatchExcludeEachOther(uint64 seq, uint64 other) external {
        this.markOne(seq);
        (bool ok,) = address(this).call(abi.encodeCall(this.mark, (_words(other))));
        vm.assertTrue(ok == (seq != other), "twice");
    }

    /// @notice VS-22: unmarking takes away this mark and no other.
    function check_unmarkRestores(uint64 other, uint64 seq, uint64 third) external {
        vm.assume(other != seq);
        this.mark(_words(other));
        this.mark(_words(seq));
        this.unmark(_words(seq));
        vm.assertTrue(_marks.isMarked(third) == (third == other), "restored");
    }

    function mark(uint256[] calldata words) external {
        _net(words, true);
    }

    function unmark(uint256[] calldata words) external {
        _net(words, false);
    }

    function markOne(uint64 seq) external {
        _marks.markOne(seq);
    }

    function _net(uint256[] calldata words, bool marking) private {
        address[] memory accounts = new address[](2);
        (accounts[0], accounts[1]) = (address(1), address(2));
        _marks.net(0, accounts, words, marking);
    }

    /// @notice VS-15: a batch takes a trade's cents only if they are quantity times price, rounded
    /// half away from zero; and these it takes. Nothing is divided here.
    function check_onlyTheRoundedTotalIsTaken(uint48 quantity, int48 price, int64 cents) external {
        uint256[] memory words = new uint256[](1);
        words[0] = Book.word(Book.Deal(5, 0, 1, quantity, price), cents);
        (bool ok,) = address(this).call(abi.encodeCall(this.mark, (words)));
        // Twice the distance in hundred-thousandths of a cent; the half belongs to the far side.
        int256 off = int256(uint256(quantity)) * price - int256(cents) * 100_000;
        bool good = price < 0 && quantity != 0
            ? -50_000 < off && off <= 50_000
            : -50_000 <= off && off < 50_000;
        vm.assertTrue(ok == good, "cents");
    }

    /// @dev A trade of nothing between the two accounts.
    function _word(uint64 seq) private pure returns (uint256) {
        return uint256(seq) << 192 | 1 << 160;
    }

    function _words(uint64 seq) private pure returns (uint256[] memory words) {
        words = new uint256[](1);
        words[0] = _word(seq);
    }
}
