// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The chain of hashes that seals a contract's event log
library LogHead {
    /// @notice The head after one more record.
    /// @param head the head before it, zero when there was none
    /// @param seq the number of the record, counted from 1
    /// @param record keccak-256 of the ABI encoding of the event's topic and its arguments
    function next(bytes32 head, uint64 seq, bytes32 record) internal pure returns (bytes32) {
        return keccak256(abi.encode(head, seq, record));
    }
}
