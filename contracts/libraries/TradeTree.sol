// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The Merkle tree over the trades of a batch
/// @dev Typed leaves, ABI-encoded and hashed twice, so that no inner node passes as a leaf; sorted
/// pairs. The same root and proofs as OpenZeppelin's `StandardMerkleTree` with `sortLeaves: false`.
library TradeTree {
    /// @notice Memory for the nodes of a tree: room for the leaves, which come first, and for all
    /// that is above them. What is in it is not known.
    function allocate(uint256 leaves) internal pure returns (bytes32[] memory nodes) {
        assembly ("memory-safe") {
            nodes := mload(0x40)
            mstore(nodes, sub(shl(1, leaves), 1))
            mstore(0x40, add(nodes, shl(6, leaves)))
        }
    }

    /// @notice The root over the leaves, of which there is one at least. Gives the memory of the
    /// nodes back: they are the last that was allocated, and are not used again.
    /// @dev A queue: the two nodes at its head become one at its end, until the array is full. A
    /// pair is sorted before it is hashed, as in OpenZeppelin's `Hashes.commutativeKeccak256`.
    function root(bytes32[] memory nodes) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let head := add(nodes, 0x20)
            let full := add(head, shl(5, mload(nodes)))
            let end := add(head, shl(4, add(mload(nodes), 1)))
            for {} lt(end, full) { end := add(end, 0x20) } {
                let left := mload(head)
                let right := mload(add(head, 0x20))
                // The smaller one at 0x00, the larger one at 0x20, without a jump.
                let place := shl(5, lt(right, left))
                mstore(place, left)
                mstore(xor(place, 0x20), right)
                mstore(end, keccak256(0x00, 0x40))
                head := add(head, 0x40)
            }
            hash := mload(head)
            mstore(0x40, nodes)
        }
    }
}
