// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {Netting} from "../../../contracts/libraries/Netting.sol";
import {TradeMarks} from "../../../contracts/libraries/TradeMarks.sol";
import {TradeTree} from "../../../contracts/libraries/TradeTree.sol";
import {TradeWord} from "../../../contracts/libraries/TradeWord.sol";
import {Book} from "../base/Book.sol";
import {Test} from "../base/Test.sol";

/// @title The libraries of settlement against an independent formulation, on any input
contract TradesFuzz is Test {
    using Book for Book.Deal[];
    using TradeMarks for TradeMarks.Marks;
    using TradeWord for uint256;

    TradeMarks.Marks private _marks;

    /// @notice VS-15: the total of any quantity at any price is rounded half away from zero.
    function testFuzzTotal(uint48 quantity, int48 price) external pure {
        Book.Deal memory deal;
        deal.quantity = quantity;
        deal.price = price;
        uint256 size = uint256(price < 0 ? -int256(price) : int256(price)) * quantity;
        vm.assume(size < uint256(uint64(type(int64).max)) * 100_000);
        vm.assertEq(
            Book.word(deal).totalHalfAwayFromZero(), int256(Book.centsOf(quantity, price)), "total"
        );
    }

    /// @notice VS-15: at half a cent and next to it, on both sides of zero.
    function testFuzzTotalAtTheHalf(uint48 cents, uint256 aside, bool negative) external pure {
        cents = uint48(bound(cents, 0, 1e9));
        int256 off = int256(bound(aside, 0, 2)) - 1;
        // A quantity of 0.001 at this price: so many half hundred-thousandths of a cent.
        int256 size = int256(uint256(cents)) * 100_000 + 50_000 + off;
        Book.Deal memory deal;
        deal.quantity = 1;
        deal.price = int48(negative ? -size : size);
        int256 expected = int256(uint256(cents)) + (off < 0 ? int256(0) : int256(1));
        vm.assertEq(
            Book.word(deal).totalHalfAwayFromZero(), negative ? -expected : expected, "half"
        );
    }

    /// @notice VS-14, VS-18: what is read of a word is what was packed into it.
    function testFuzzWord(Book.Deal memory deal, int64 cents) external pure {
        uint256 word = Book.word(deal, cents);
        vm.assertEq(word.seq(), deal.seq, "seq");
        vm.assertEq(word.buyer(), deal.buyer, "buyer");
        vm.assertEq(word.seller(), deal.seller, "seller");
        vm.assertEq(word.quantity(), deal.quantity, "quantity");
        vm.assertEq(word.price(), deal.price, "price");
        vm.assertEq(word.cents(), cents, "cents");
    }

    /// @notice VS-19: the root is OpenZeppelin's, each leaf is provable and an altered one is not.
    function testFuzzRoot(bytes32[] memory leaves, uint256 position) external pure {
        vm.assume(leaves.length > 0);
        bytes32[] memory tree = Book.tree(leaves);
        bytes32[] memory nodes = new bytes32[](2 * leaves.length - 1);
        for (uint256 i; i < leaves.length; ++i) {
            nodes[i] = leaves[i];
        }
        bytes32 root = TradeTree.root(nodes, leaves.length);
        vm.assertEq(root, tree[0], "root");

        position = bound(position, 0, leaves.length - 1);
        bytes32[] memory proof = Book.proof(tree, position);
        vm.assertTrue(MerkleProof.verify(proof, root, leaves[position]), "proof");
        vm.assertTrue(
            !MerkleProof.verify(proof, root, ~leaves[position]), "proof of an altered leaf"
        );
    }

    /// @notice VS-18, VS-19: nets and root of a batch of any trades.
    function testFuzzNetting(Book.Deal[] memory deals, bytes32 key, uint256 count) external view {
        vm.assume(deals.length > 0);
        address[] memory accounts = new address[](bound(count, 2, 20));
        for (uint160 i; i < accounts.length; ++i) {
            accounts[i] = address(1 + 7 * i);
        }
        bytes32[] memory leaves = new bytes32[](deals.length);
        for (uint256 i; i < deals.length; ++i) {
            deals[i].quantity = uint48(bound(deals[i].quantity, 0, 6e9));
            deals[i].buyer = uint16(bound(deals[i].buyer, 0, accounts.length - 1));
            deals[i].seller = uint16(
                (deals[i].buyer + bound(deals[i].seller, 1, accounts.length - 1)) % accounts.length
            );
            leaves[i] = Book.leaf(key, deals[i], accounts);
        }
        (int256[] memory nets, bytes32 root) = this.net(key, accounts, deals.words());
        int256[] memory expected = deals.nets(accounts.length);
        int256 sum;
        for (uint256 i; i < nets.length; ++i) {
            vm.assertEq(nets[i], expected[i], "net");
            sum += nets[i];
        }
        vm.assertEq(sum, 0, "nets sum to zero");
        vm.assertEq(root, Book.tree(leaves)[0], "root");
    }

    /// @notice VS-14, VS-16, VS-22: of a run of numbers with gaps each is marked, no other is, none
    /// can be marked again, and all are unmarked.
    function testFuzzMarks(uint64 start, uint16[] memory steps, uint256 again) external {
        vm.assume(steps.length > 0);
        uint256[] memory words = new uint256[](steps.length);
        uint64 seq = uint64(bound(start, 0, type(uint64).max - 2e7));
        for (uint256 i; i < steps.length; ++i) {
            seq += uint64(bound(steps[i], 1, 300));
            words[i] = uint256(seq) << 192 | i;
        }
        this.mark(words);
        for (uint256 i; i < words.length; ++i) {
            seq = words[i].seq();
            vm.assertTrue(_marks.isMarked(seq), "marked");
            bool next = i + 1 < words.length && words[i + 1].seq() == seq + 1;
            vm.assertTrue(_marks.isMarked(seq + 1) == next, "a neighbour");
        }

        uint256[] memory one = new uint256[](1);
        one[0] = words[bound(again, 0, words.length - 1)];
        vm.expectRevert(abi.encodeWithSignature("AlreadySettled(uint64)", one[0].seq()));
        this.mark(one);

        this.unmark(words);
        for (uint256 i; i < words.length; ++i) {
            vm.assertTrue(!_marks.isMarked(words[i].seq()), "unmarked");
        }
    }

    function net(bytes32 key, address[] memory accounts, uint256[] calldata words)
        external
        pure
        returns (int256[] memory nets, bytes32 root)
    {
        return Netting.net(key, accounts, words);
    }

    function mark(uint256[] calldata words) external {
        _marks.mark(words);
    }

    function unmark(uint256[] calldata words) external {
        _marks.unmark(words);
    }
}
