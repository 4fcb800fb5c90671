// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {TradeMarks} from "../../../contracts/libraries/TradeMarks.sol";
import {TradeTree} from "../../../contracts/libraries/TradeTree.sol";
import {TradeWord} from "../../../contracts/libraries/TradeWord.sol";
import {Book} from "../base/Book.sol";
import {Symbolic} from "../base/Symbolic.sol";

/// @title Properties of the libraries of settlement, for all words
contract TradesProperties is Symbolic {
    using TradeMarks for TradeMarks.Marks;
    using TradeWord for uint256;

    TradeMarks.Marks private _marks;

    /// @notice VS-15: for every price of the least quantity.
    function check_totalAtAnyPrice(int48 price) external pure {
        _checkTotal(1, price);
    }

    /// @notice VS-15: for every price of a quantity of one.
    function check_totalOfOneAtAnyPrice(int48 price) external pure {
        _checkTotal(1000, price);
    }

    /// @notice VS-15: for every quantity at the least positive price.
    function check_totalOfAnyQuantity(uint48 quantity) external pure {
        _checkTotal(quantity, 1);
    }

    /// @notice VS-15: for every quantity at a price of minus one.
    function check_totalOfAnyQuantityAtMinusOne(uint48 quantity) external pure {
        _checkTotal(quantity, -10_000);
    }

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

    /// @notice VS-14, VS-16: marking two numbers marks these two and no third, and in order only.
    function check_marksAreExact(uint64 first, uint64 second, uint64 third) external {
        uint256[] memory words = _words(first, second);
        try this.mark(words) {
            vm.assertTrue(first < second, "out of order");
            vm.assertTrue(_marks.isMarked(first) && _marks.isMarked(second), "marked");
            bool expected = third == first || third == second;
            vm.assertTrue(_marks.isMarked(third) == expected, "a third");
        } catch {
            vm.assertTrue(first >= second, "refused");
        }
    }

    /// @notice VS-16: a number that is marked cannot be marked again, alone or beside another.
    function check_noMarkTwice(uint64 first, uint64 second, uint64 a, uint64 b) external {
        vm.assume(first < second && a < b);
        vm.assume(a == first || a == second || b == first || b == second);
        this.mark(_words(first, second));
        (bool ok,) = address(this).call(abi.encodeCall(this.mark, (_words(a, b))));
        vm.assertTrue(!ok, "twice");
    }

    /// @notice VS-22: unmarking restores every mark.
    function check_unmarkRestores(uint64 other, uint64 first, uint64 second, uint64 third)
        external
    {
        vm.assume(first < second && other != first && other != second);
        uint256[] memory one = new uint256[](1);
        one[0] = uint256(other) << 192;
        this.mark(one);
        this.mark(_words(first, second));
        this.unmark(_words(first, second));
        vm.assertTrue(_marks.isMarked(third) == (third == other), "restored");
    }

    /// @notice VS-19: in a tree of three, each leaf is provable.
    function check_everyLeafIsProvable(bytes32 a, bytes32 b, bytes32 c) external pure {
        bytes32[] memory nodes = new bytes32[](5);
        (nodes[0], nodes[1], nodes[2]) = (a, b, c);
        bytes32 root = TradeTree.root(nodes, 3);
        bytes32[] memory leaves = new bytes32[](3);
        (leaves[0], leaves[1], leaves[2]) = (a, b, c);
        bytes32[] memory tree = Book.tree(leaves);
        vm.assertEq(root, tree[0], "root");
        for (uint256 i; i < 3; ++i) {
            vm.assertTrue(MerkleProof.verify(Book.proof(tree, i), root, leaves[i]), "proof");
        }
    }

    /// @dev The product of both lies within half a cent of the total; the half itself lies on the
    /// side of zero. Nothing is divided here.
    function _checkTotal(uint48 quantity, int48 price) private pure {
        Book.Deal memory deal;
        deal.quantity = quantity;
        deal.price = price;
        int256 total = Book.word(deal, 0).totalHalfAwayFromZero();
        int256 rest = int256(uint256(quantity)) * price - total * 100_000;
        if (price >= 0) vm.assertTrue(-50_000 <= rest && rest < 50_000, "up");
        else vm.assertTrue(-50_000 < rest && rest <= 50_000, "down");
    }

    function mark(uint256[] calldata words) external {
        _marks.mark(words);
    }

    function unmark(uint256[] calldata words) external {
        _marks.unmark(words);
    }

    function _words(uint64 first, uint64 second) private pure returns (uint256[] memory words) {
        words = new uint256[](2);
        (words[0], words[1]) = (uint256(first) << 192, uint256(second) << 192);
    }
}
