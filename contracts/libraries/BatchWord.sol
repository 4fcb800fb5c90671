// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICreditOversight} from "../interfaces/ICreditOversight.sol";

/// @dev All that the ledger stores of a batch, in one storage slot. From the least significant bits
/// up: `status u8 | issued u40 | retired u40 | cancelled u40 | periodStart u32 | periodEnd u32 |
/// gapStart u32 | expiresAt u32`. Amounts are kilograms (2^40 of them are 1.1 billion tonnes), times
/// are epoch seconds. From `gapStart` to `periodStart` nothing was ever issued upon.
type BatchWord is uint256;

using BatchWords for BatchWord global;

/// @title The fields of a batch in its word
library BatchWords {
    uint256 private constant RETIRED = 48;
    uint256 private constant CANCELLED = 88;
    uint256 private constant GAP_START = 192;

    /// @notice An active batch of which nothing is retired or cancelled.
    function open(
        uint40 issued_,
        uint32 periodStart_,
        uint32 periodEnd_,
        uint32 gapStart_,
        uint32 expiresAt_
    ) internal pure returns (BatchWord) {
        return BatchWord.wrap(
            uint256(expiresAt_) << 224 | uint256(gapStart_) << GAP_START | uint256(periodEnd_)
                << 160 | uint256(periodStart_) << 128 | uint256(issued_) << 8
                | uint256(ICreditOversight.Status.Active)
        );
    }

    function status(BatchWord self) internal pure returns (ICreditOversight.Status) {
        return ICreditOversight.Status(uint8(BatchWord.unwrap(self)));
    }

    function issued(BatchWord self) internal pure returns (uint40) {
        return uint40(BatchWord.unwrap(self) >> 8);
    }

    function retired(BatchWord self) internal pure returns (uint40) {
        return uint40(BatchWord.unwrap(self) >> RETIRED);
    }

    function cancelled(BatchWord self) internal pure returns (uint40) {
        return uint40(BatchWord.unwrap(self) >> CANCELLED);
    }

    function periodStart(BatchWord self) internal pure returns (uint32) {
        return uint32(BatchWord.unwrap(self) >> 128);
    }

    function periodEnd(BatchWord self) internal pure returns (uint32) {
        return uint32(BatchWord.unwrap(self) >> 160);
    }

    function gapStart(BatchWord self) internal pure returns (uint32) {
        return uint32(BatchWord.unwrap(self) >> GAP_START);
    }

    function expiresAt(BatchWord self) internal pure returns (uint32) {
        return uint32(BatchWord.unwrap(self) >> 224);
    }

    /// @notice What is neither retired nor cancelled.
    function held(BatchWord self) internal pure returns (uint40) {
        return self.issued() - self.retired() - self.cancelled();
    }

    /// @notice Whether the time of the batch is over; without an expiry it never is.
    function isPast(BatchWord self) internal view returns (bool) {
        uint32 end = self.expiresAt();
        return end != 0 && end <= block.timestamp;
    }

    function withStatus(BatchWord self, ICreditOversight.Status status_)
        internal
        pure
        returns (BatchWord)
    {
        return _with(self, 0, type(uint8).max, uint8(status_));
    }

    function withRetired(BatchWord self, uint40 retired_) internal pure returns (BatchWord) {
        return _with(self, RETIRED, type(uint40).max, retired_);
    }

    function withCancelled(BatchWord self, uint40 cancelled_) internal pure returns (BatchWord) {
        return _with(self, CANCELLED, type(uint40).max, cancelled_);
    }

    function withGapStart(BatchWord self, uint32 gapStart_) internal pure returns (BatchWord) {
        return _with(self, GAP_START, type(uint32).max, gapStart_);
    }

    /// @dev The word with one field replaced: `mask` is the field's largest value, at bit 0.
    function _with(BatchWord self, uint256 shift, uint256 mask, uint256 value)
        private
        pure
        returns (BatchWord)
    {
        return BatchWord.wrap(BatchWord.unwrap(self) & ~(mask << shift) | value << shift);
    }
}
