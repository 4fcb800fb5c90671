// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The Merkle tree over the trades of a batch
/// @dev Typed leaves, ABI-encoded and hashed twice, so that no inner node passes as a leaf; sorted
/// pairs. The same root and proofs as OpenZeppelin's `StandardMerkleTree` with `sortLeaves: false`.
library TradeTree {
    /// @notice The root over the first `count` nodes, which are the leaves; one at least. The array
    /// has room for `2 * count - 1`.
    /// @dev A queue: the two nodes at its head become one at its end, until one is left. A pair is
    /// sorted before it is hashed, as in OpenZeppelin's `Hashes.commutativeKeccak256`.
    function root(bytes32[] memory nodes, uint256 count) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let head := add(nodes, 0x20)
            let end := add(head, shl(5, count))
            for {} gt(sub(end, head), 0x20) {} {
                let left := mload(head)
                let right := mload(add(head, 0x20))
                // The smaller one at 0x00, the larger one at 0x20, without a jump.
                let place := shl(5, lt(right, left))
                mstore(place, left)
                mstore(xor(place, 0x20), right)
                mstore(end, keccak256(0x00, 0x40))
                head := add(head, 0x40)
                end := add(end, 0x20)
            }
            hash := mload(head)
        }
    }
}
