// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

/// @title The Merkle tree over the trades of a batch
/// @dev Typed leaves, ABI-encoded and hashed twice, so that no inner node passes as a leaf; sorted
/// pairs. The same root and proofs as OpenZeppelin's `StandardMerkleTree` with `sortLeaves: false`.
library TradeTree {
    /// @notice `keccak256(keccak256(abi.encode(key, seq, buyer, seller, quantity, price, cents)))`
    /// @dev The numbers come at full width, so that no bit of a narrower type is left to chance.
    function leaf(
        bytes32 key,
        uint256 seq,
        address buyer,
        address seller,
        uint256 quantity,
        int256 price,
        int256 cents
    ) internal pure returns (bytes32 hash) {
        // By hand, so that a thousand leaves do not leave a thousand copies in memory.
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, key)
            mstore(add(free, 0x20), seq)
            mstore(add(free, 0x40), shr(96, shl(96, buyer)))
            mstore(add(free, 0x60), shr(96, shl(96, seller)))
            mstore(add(free, 0x80), quantity)
            mstore(add(free, 0xa0), price)
            mstore(add(free, 0xc0), cents)
            mstore(0x00, keccak256(free, 0xe0))
            hash := keccak256(0x00, 0x20)
        }
    }

    /// @notice The root over the first `count` nodes, which are the leaves. The array has room for
    /// `2 * count - 1`.
    /// @dev A queue: the two nodes at its head become one at its end, until one is left.
    function root(bytes32[] memory nodes, uint256 count) internal pure returns (bytes32) {
        uint256 end = count;
        for (uint256 i; i + 1 < end; i += 2) {
            nodes[end++] = Hashes.commutativeKeccak256(nodes[i], nodes[i + 1]);
        }
        return nodes[end - 1];
    }
}
