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
    using Netting for TradeMarks.Marks;
    using TradeMarks for TradeMarks.Marks;
    using TradeWord for uint256;

    TradeMarks.Marks private _marks;

    /// @notice VS-15: the total of any quantity at any price is rounded half away from zero.
    function testFuzzTotal(uint48 quantity, int48 price) external pure {
        uint256 size = uint256(price < 0 ? -int256(price) : int256(price)) * quantity;
        vm.assume(size < uint256(uint64(type(int64).max)) * 100_000);
        int256 expected = Book.centsOf(quantity, price);
        vm.assertEq(TradeWord.totalHalfAwayFromZero(quantity, price), expected, "total");
    }

    /// @notice VS-15: at half a cent and next to it, on both sides of zero.
    function testFuzzTotalAtTheHalf(uint48 cents, uint256 aside, bool negative) external pure {
        cents = uint48(bound(cents, 0, 1e9));
        int256 off = int256(bound(aside, 0, 2)) - 1;
        // A quantity of 0.001 at this price: so many hundred-thousandths of a cent.
        int256 size = int256(uint256(cents)) * 100_000 + 50_000 + off;
        int256 expected = int256(uint256(cents)) + (off < 0 ? int256(0) : int256(1));
        int256 total = TradeWord.totalHalfAwayFromZero(1, negative ? -size : size);
        vm.assertEq(total, negative ? -expected : expected, "half");
    }

    /// @notice VS-15: of all the cents that a word may state, a batch takes the rounded ones alone.
    function testFuzzNearTotals(uint48 quantity, int48 price, uint256 aside) external {
        quantity = uint48(bound(quantity, 0, 6e9));
        Book.Deal memory deal = Book.Deal(5, 0, 1, quantity, price);
        int64 off = int64(int256(bound(aside, 0, 4))) - 2;
        uint256[] memory words = new uint256[](1);
        words[0] = Book.word(deal, Book.centsOf(quantity, price) + off);
        (bool ok,) =
            address(this).call(abi.encodeCall(this.net, (bytes32(0), _accounts(2), words, true)));
        vm.assertTrue(ok == (off == 0), "cents");
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
        position = bound(position, 0, leaves.length - 1);
        bytes32[] memory proof = Book.proof(tree, position);

        bytes32[] memory nodes = TradeTree.allocate(leaves.length);
        for (uint256 i; i < leaves.length; ++i) {
            nodes[i] = leaves[i];
        }
        bytes32 root = TradeTree.root(nodes);
        vm.assertEq(root, tree[0], "root");
        vm.assertTrue(MerkleProof.verify(proof, root, leaves[position]), "proof");
        vm.assertTrue(
            !MerkleProof.verify(proof, root, ~leaves[position]), "proof of an altered leaf"
        );
    }

    /// @notice VS-14, VS-16, VS-18, VS-19, VS-22: nets, volume, root and marks of a batch of any
    /// trades, over many storage words of marks; and nothing is left when it is taken back.
    function testFuzzBatch(Book.Deal[] memory deals, bytes32 key, uint256 count, uint64 start)
        external
    {
        vm.assume(deals.length > 0);
        address[] memory accounts = _accounts(bound(count, 2, 20));
        uint64 seq = uint64(bound(start, 0, type(uint64).max - 1e6));
        for (uint256 i; i < deals.length; ++i) {
            seq += uint64(1 + deals[i].seq % (deals[i].seq % 7 == 0 ? 600 : 2));
            _tidy(deals[i], seq, accounts.length);
        }
        _checkNet(deals, key, accounts, true);
        _checkMarks(deals, true);

        uint256[] memory again = new uint256[](1);
        again[0] = Book.word(deals[count % deals.length]);
        vm.expectRevert(
            abi.encodeWithSignature("AlreadySettled(uint64)", deals[count % deals.length].seq)
        );
        this.net(key, accounts, again, true);

        _checkNet(deals, key, accounts, false);
        _checkMarks(deals, false);
    }

    /// @notice VS-14: two trades that do not ascend are refused, wherever they stand.
    function testFuzzOrder(uint64 first, uint64 second) external {
        Book.Deal[] memory deals = new Book.Deal[](2);
        deals[0] = Book.Deal(first, 0, 1, 0, 0);
        deals[1] = Book.Deal(second, 0, 1, 0, 0);
        bytes memory data =
            abi.encodeCall(this.net, (bytes32(0), _accounts(2), deals.words(), true));
        (bool ok,) = address(this).call(data);
        vm.assertTrue(ok == (first < second), "order");
    }

    /// @notice VS-14: parties are two, and of the list.
    function testFuzzParties(uint16 buyer, uint16 seller, uint256 count) external {
        count = bound(count, 1, 5);
        (buyer, seller) = (buyer % 8, seller % 8);
        Book.Deal[] memory deals = new Book.Deal[](1);
        deals[0] = Book.Deal(7, buyer, seller, 1000, 1000);
        bytes memory data =
            abi.encodeCall(this.net, (bytes32(0), _accounts(count), deals.words(), true));
        (bool ok,) = address(this).call(data);
        vm.assertTrue(ok == (buyer < count && seller < count && buyer != seller), "parties");
    }

    function _tidy(Book.Deal memory deal, uint64 seq, uint256 parties) private pure {
        deal.seq = seq;
        deal.quantity = uint48(bound(deal.quantity, 0, 6e9));
        deal.buyer = uint16(bound(deal.buyer, 0, parties - 1));
        deal.seller = uint16((deal.buyer + bound(deal.seller, 1, parties - 1)) % parties);
    }

    function _checkNet(
        Book.Deal[] memory deals,
        bytes32 key,
        address[] memory accounts,
        bool marking
    ) private {
        (int256[] memory nets, int256[] memory creditNets, uint256 volume, bytes32 root) =
            this.net(key, accounts, deals.words(), marking);
        int256[] memory expected = deals.nets(accounts.length);
        int256[] memory expectedCredits = deals.creditNets(accounts.length);
        for (uint256 i; i < accounts.length; ++i) {
            vm.assertEq(nets[i], expected[i], "net");
            vm.assertEq(creditNets[i], expectedCredits[i], "net of credits");
        }
        (uint256 cents, uint256 quantity) = deals.volume();
        vm.assertEq(volume >> 128, cents, "notional");
        vm.assertEq(uint128(volume), quantity, "quantity");

        bytes32[] memory leaves = new bytes32[](deals.length);
        for (uint256 i; i < deals.length; ++i) {
            leaves[i] = Book.leaf(key, deals[i], accounts);
        }
        vm.assertEq(root, Book.tree(leaves)[0], "root");
    }

    function _checkMarks(Book.Deal[] memory deals, bool marked) private view {
        for (uint256 i; i < deals.length; ++i) {
            uint64 seq = deals[i].seq;
            vm.assertTrue(_marks.isMarked(seq) == marked, "marked");
            bool next = marked && i + 1 < deals.length && deals[i + 1].seq == seq + 1;
            vm.assertTrue(_marks.isMarked(seq + 1) == next, "a neighbour");
        }
    }

    function _accounts(uint256 count) private pure returns (address[] memory accounts) {
        accounts = new address[](count);
        for (uint160 i; i < count; ++i) {
            accounts[i] = address(1 + 7 * i);
        }
    }

    function net(bytes32 key, address[] memory accounts, uint256[] calldata words, bool marking)
        external
        returns (int256[] memory nets, int256[] memory creditNets, uint256 volume, bytes32 root)
    {
        return _marks.net(key, accounts, words, marking);
    }
}
