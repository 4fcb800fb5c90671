// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A trade in 32 bytes
/// @dev From the most significant bits down: `seq u64 | buyer u16 | seller u16 | quantity u48
/// (0.001) | price i48 (0.0001) | cents i64`.
library TradeWord {
    /// @dev Quantity in thousandths times price in ten-thousandths is 10^-7 of the currency, and a
    /// cent is 10^-2.
    int256 private constant CENT = 1e5;
    int256 private constant HALF_CENT = CENT / 2;

    function seq(uint256 word) internal pure returns (uint64) {
        return uint64(word >> 192);
    }

    function buyer(uint256 word) internal pure returns (uint16) {
        return uint16(word >> 176);
    }

    function seller(uint256 word) internal pure returns (uint16) {
        return uint16(word >> 160);
    }

    function quantity(uint256 word) internal pure returns (uint48) {
        return uint48(word >> 112);
    }

    function price(uint256 word) internal pure returns (int48) {
        return int48(uint48(word >> 64));
    }

    function cents(uint256 word) internal pure returns (int64) {
        return int64(uint64(word));
    }

    /// @notice Quantity times price in cents, rounded half away from zero: `Decimal`'s ROUND_HALF_UP.
    function totalHalfAwayFromZero(uint256 quantity_, int256 price_)
        internal
        pure
        returns (int256)
    {
        // 48 bits times 48 bits and a little: no overflow. Division truncates toward zero.
        unchecked {
            int256 product = int256(quantity_) * price_;
            return (product < 0 ? product - HALF_CENT : product + HALF_CENT) / CENT;
        }
    }
}
