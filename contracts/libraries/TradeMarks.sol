// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IVppSettlement} from "../interfaces/IVppSettlement.sol";

/// @title One bit for each trade that is settled or in an open batch, 256 neighbours in a storage
/// word
library TradeMarks {
    struct Marks {
        mapping(uint256 index => uint256 bits) bitmap;
    }

    /// @notice Marks a trade that is not marked.
    function markOne(Marks storage self, uint64 seq) internal {
        // forge-lint: disable-next-line(incorrect-shift)
        flip(self, seq >> 8, 1 << (seq & 0xff), true);
    }

    function isMarked(Marks storage self, uint64 seq) internal view returns (bool) {
        return self.bitmap[seq >> 8] >> (seq & 0xff) & 1 == 1;
    }

    /// @notice Marks or unmarks trades of one storage word. None that is to be marked is marked.
    function flip(Marks storage self, uint256 index, uint256 bits, bool marking) internal {
        uint256 marked = self.bitmap[index];
        if (marking) {
            uint256 twice = marked & bits;
            if (twice != 0) {
                uint256 lowest = twice & (~twice + 1);
                revert IVppSettlement.AlreadySettled(uint64(index << 8 | Math.log2(lowest)));
            }
            self.bitmap[index] = marked | bits;
        } else {
            self.bitmap[index] = marked & ~bits;
        }
    }
}
