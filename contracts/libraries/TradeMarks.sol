// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IVppSettlement} from "../interfaces/IVppSettlement.sol";
import {TradeWord} from "./TradeWord.sol";

/// @title One bit for each trade that is settled or in an open batch, 256 neighbours in a storage
/// word
library TradeMarks {
    using TradeWord for uint256;

    struct Marks {
        mapping(uint256 index => uint256 bits) bitmap;
    }

    /// @notice Marks trades that ascend strictly by seq, none of which is marked.
    function mark(Marks storage self, uint256[] calldata words) internal {
        _flip(self, words, true);
    }

    /// @notice Unmarks trades that ascend strictly by seq, all of which are marked.
    function unmark(Marks storage self, uint256[] calldata words) internal {
        _flip(self, words, false);
    }

    /// @notice Marks a trade that is not marked.
    function markOne(Marks storage self, uint64 seq) internal {
        _flush(self, seq >> 8, 1 << (seq & 0xff), true);
    }

    function isMarked(Marks storage self, uint64 seq) internal view returns (bool) {
        return self.bitmap[seq >> 8] >> (seq & 0xff) & 1 == 1;
    }

    /// @dev The trades ascend, so a storage word is read and written once: when the last of its
    /// trades is known.
    function _flip(Marks storage self, uint256[] calldata words, bool marking) private {
        uint256 index = words[0].seq() >> 8;
        uint256 bits;
        // 64-bit numbers, and no more of them than a transaction carries.
        unchecked {
            for (uint256 i; i < words.length; ++i) {
                uint256 seq = words[i].seq();
                if (seq >> 8 != index) {
                    if (seq >> 8 < index) revert IVppSettlement.SeqOutOfOrder(uint64(seq));
                    _flush(self, index, bits, marking);
                    index = seq >> 8;
                    bits = 0;
                }
                uint256 bit = 1 << (seq & 0xff);
                if (bit <= bits) revert IVppSettlement.SeqOutOfOrder(uint64(seq));
                bits |= bit;
            }
        }
        _flush(self, index, bits, marking);
    }

    function _flush(Marks storage self, uint256 index, uint256 bits, bool marking) private {
        uint256 marked = self.bitmap[index];
        if (marking) {
            uint256 twice = marked & bits;
            if (twice != 0) {
                uint256 lowest = twice & (~twice + 1);
                revert IVppSettlement.AlreadySettled(uint64(index << 8 | Math.log2(lowest)));
            }
            self.bitmap[index] = marked | bits;
        } else {
            assert(marked & bits == bits);
            self.bitmap[index] = marked & ~bits;
        }
    }
}
