// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ISettlementEscrow} from "../interfaces/ISettlementEscrow.sol";
import {IVppSettlement} from "../interfaces/IVppSettlement.sol";
import {TradeMarks} from "./TradeMarks.sol";
import {TradeTree} from "./TradeTree.sol";
import {TradeWord} from "./TradeWord.sol";

/// @title From the trades of a batch to what each account gains, and to the root that commits to
/// them
/// @dev One pass over the trades, in runs whose marks stand in one storage word. It works on a sheet
/// of words in memory:
///
/// - 0: how many trades are left;
/// - 1: where the last party stands;
/// - 2 to 8: the leaf at hand: key, seq, buyer, seller, quantity, price, cents;
/// - 9 and 10, 11 and 12, ...: what a party gains, and its account.
///
/// A gain is two numbers in one: cents times 2^128, plus kilograms. Both are signed, and both add up
/// when words are added; 2,000 trades of 64 bits are far from filling either half.
library Netting {
    using TradeMarks for TradeMarks.Marks;
    using TradeWord for uint256;

    /// @dev Where the parties begin on the sheet.
    uint256 private constant PARTIES = 9;

    /// @notice Checks each trade, marks or unmarks it, and adds up what they come to.
    /// @param marks of all trades that are settled or in an open batch
    /// @param key the key of the batch
    /// @param accounts the parties, ascending
    /// @param words the trades, ascending by seq
    /// @param marking whether to mark them; else to unmark them
    /// @return nets what each account gains, in cents
    /// @return creditNets what each account gains, in kilograms
    /// @return volume the sum of all totals, as if positive, times 2^128, plus all quantities
    /// @return root the Merkle root over the trades
    function net(
        TradeMarks.Marks storage marks,
        bytes32 key,
        address[] memory accounts,
        uint256[] calldata words,
        bool marking
    )
        internal
        returns (int256[] memory nets, int256[] memory creditNets, uint256 volume, bytes32 root)
    {
        if (words.length == 0) revert IVppSettlement.EmptyBatch();
        uint256[] memory sheet = _sheet(key, accounts, words.length);
        bytes32[] memory nodes = TradeTree.allocate(words.length);

        volume = _pass(marks, sheet, nodes, words, marking);
        root = TradeTree.root(nodes);
        (nets, creditNets) = _gains(sheet, accounts.length);
    }

    function _gains(uint256[] memory sheet, uint256 parties)
        private
        pure
        returns (int256[] memory nets, int256[] memory creditNets)
    {
        nets = new int256[](parties);
        creditNets = new int256[](parties);
        unchecked {
            for (uint256 i; i < parties; ++i) {
                int256 gain = int256(sheet[PARTIES + 2 * i]);
                creditNets[i] = int128(gain);
                nets[i] = (gain - int128(gain)) >> 128;
            }
        }
    }

    function _sheet(bytes32 key, address[] memory accounts, uint256 trades)
        private
        pure
        returns (uint256[] memory sheet)
    {
        sheet = new uint256[](PARTIES + 2 * accounts.length);
        sheet[0] = trades;
        sheet[2] = uint256(key);
        uint256 previous;
        for (uint256 i; i < accounts.length; ++i) {
            uint256 account = uint160(accounts[i]);
            if (account == 0) revert ISettlementEscrow.ZeroAddress();
            if (account <= previous) revert IVppSettlement.AccountsNotSorted(i);
            sheet[PARTIES + 1 + 2 * i] = previous = account;
        }
        assembly ("memory-safe") {
            // Two words before the end of the sheet; before the first party, if there is none.
            mstore(add(sheet, 0x40), sub(add(sheet, shl(5, mload(sheet))), 0x20))
        }
    }

    /// @dev Run by run, as the marks of a run are written at once.
    function _pass(
        TradeMarks.Marks storage marks,
        uint256[] memory sheet,
        bytes32[] memory nodes,
        uint256[] calldata words,
        bool marking
    ) private returns (uint256 volume) {
        uint256 least;
        while (sheet[0] != 0) {
            uint256 word = words[words.length - sheet[0]];
            uint256 index = word.seq() >> 8;
            if (index < least) revert IVppSettlement.SeqOutOfOrder(word.seq());
            (uint256 bits, uint256 traded) = _walk(sheet, nodes, words, index);
            if (bits == 0) _refuse(words[words.length - sheet[0]], (sheet.length - PARTIES) / 2);
            marks.flip(index, bits, marking);
            least = index + 1;
            volume += traded;
        }
    }

    /// @dev The one loop over a thousand trades, and so in assembly. It begins with the first trade
    /// that is left, and goes on until one does not ascend or has its mark in another storage word.
    /// The fields are cut out as in `TradeWord`; an index is cut out as 64 times itself, the distance
    /// of its party from the first. `t` holds for a moment what has no name of its own.
    /// @param index of the storage word
    /// @return bits the marks; zero if a trade is wrong, the first of those left
    /// @return volume the totals, as if positive, times 2^128, plus the quantities
    function _walk(
        uint256[] memory sheet,
        bytes32[] memory nodes,
        uint256[] calldata words,
        uint256 index
    ) private pure returns (uint256 bits, uint256 volume) {
        assembly ("memory-safe") {
            let left := add(sheet, 0x20)
            let parties := add(sheet, 0x140)
            // How far a leaf is from the place of its trade.
            let shift := sub(add(nodes, 0x20), words.offset)
            let last := mload(add(sheet, 0x40))
            let end := add(words.offset, shl(5, words.length))
            let place := sub(end, shl(5, mload(left)))

            for {} lt(place, end) { place := add(place, 0x20) } {
                let word := calldataload(place)

                // The mark: in this storage word, and above all before it.
                let t := shl(byte(7, word), 1)
                if or(sub(shr(200, word), index), iszero(gt(t, bits))) { break }
                bits := or(bits, t)

                // Its parties are two, and none behind the last. Of quantity times price its total
                // leaves half a cent at most, the half itself on the side toward zero: it is
                // rounded half away from zero.
                let buyer := add(parties, and(shr(170, word), 0x3fffc0))
                let seller := add(parties, and(shr(154, word), 0x3fffc0))
                let quantity := and(shr(112, word), 0xffffffffffff)
                let cents := signextend(7, word)
                mstore(sub(parties, 0x40), signextend(5, shr(64, word)))
                t := mul(quantity, mload(sub(parties, 0x40)))
                if or(
                    or(gt(buyer, last), gt(seller, last)),
                    or(
                        eq(buyer, seller),
                        gt(add(sub(t, mul(cents, 100000)), sub(50000, shr(255, t))), 99999)
                    )
                ) {
                    bits := 0
                    break
                }

                // The leaf: the seven words before the parties, in which the key stands already:
                // `keccak256(keccak256(abi.encode(key, seq, buyer, seller, quantity, price, cents)))`.
                mstore(sub(parties, 0xc0), shr(192, word))
                mstore(sub(parties, 0xa0), mload(add(buyer, 0x20)))
                mstore(sub(parties, 0x80), mload(add(seller, 0x20)))
                mstore(sub(parties, 0x60), quantity)
                mstore(sub(parties, 0x20), cents)
                mstore(0x00, keccak256(sub(parties, 0xe0), 0xe0))
                mstore(add(place, shift), keccak256(0x00, 0x20))

                // The seller gains cents and gives kilograms, the buyer the other way round.
                t := sub(shl(128, cents), quantity)
                mstore(buyer, sub(mload(buyer), t))
                mstore(seller, add(mload(seller), t))
                t := sar(255, cents)
                volume := add(volume, or(shl(128, sub(xor(cents, t), t)), quantity))
            }
            mstore(left, shr(5, sub(end, place)))
        }
    }

    /// @dev Says what is wrong with a trade.
    function _refuse(uint256 word, uint256 parties) private pure {
        uint64 seq = word.seq();
        if (word.buyer() >= parties) revert IVppSettlement.UnknownParty(seq, word.buyer());
        if (word.seller() >= parties) revert IVppSettlement.UnknownParty(seq, word.seller());
        if (word.buyer() == word.seller()) revert IVppSettlement.SelfTrade(seq);
        int256 total = TradeWord.totalHalfAwayFromZero(word.quantity(), word.price());
        revert IVppSettlement.WrongTotal(seq, word.cents(), total);
    }
}
