// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IVppSettlement} from "../interfaces/IVppSettlement.sol";

/// @title What the parties of a batch sign
library Cosignature {
    bytes32 internal constant TYPEHASH = keccak256(
        "Settlement(bytes32 key,uint256 asset,address[] accounts,uint256[] words,uint64 deadline)"
    );

    /// @notice The EIP-712 hash of a settlement.
    function hash(IVppSettlement.Settlement calldata settlement) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                TYPEHASH,
                settlement.key,
                settlement.asset,
                keccak256(abi.encodePacked(settlement.accounts)),
                _hashWords(settlement.words),
                settlement.deadline
            )
        );
    }

    /// @dev `keccak256(abi.encodePacked(words))`, past the allocated memory: a thousand words would
    /// make all memory after them dearer.
    function _hashWords(uint256[] calldata words) private pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            let size := shl(5, words.length)
            calldatacopy(free, words.offset, size)
            digest := keccak256(free, size)
        }
    }
}
