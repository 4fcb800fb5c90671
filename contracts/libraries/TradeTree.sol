// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The Merkle tree over the trades of a batch
/// @dev Typed leaves, ABI-encoded and hashed twice, so that no inner node passes as a leaf; sorted
/// pairs. The same root and proofs as OpenZeppelin's `StandardMerkleTree` with `sortLeaves: false`.
library TradeTree {
    /// @notice `keccak256(keccak256(abi.encode(key, seq, buyer, seller, quantity, price, cents)))`
    /// @param key the key of the batch
    /// @param word the trade, whose buyer and seller are of the accounts
    /// @param accounts the parties
    function leaf(bytes32 key, uint256 word, address[] memory accounts)
        internal
        pure
        returns (bytes32 hash)
    {
        // By hand, so that a thousand leaves do not leave a thousand copies in memory. The fields
        // are taken as `TradeWord` takes them.
        assembly ("memory-safe") {
            let free := mload(0x40)
            let parties := add(accounts, 0x20)
            mstore(free, key)
            mstore(add(free, 0x20), shr(192, word))
            mstore(add(free, 0x40), mload(add(parties, shl(5, and(shr(176, word), 0xffff)))))
            mstore(add(free, 0x60), mload(add(parties, shl(5, and(shr(160, word), 0xffff)))))
            mstore(add(free, 0x80), and(shr(112, word), 0xffffffffffff))
            mstore(add(free, 0xa0), signextend(5, shr(64, word)))
            mstore(add(free, 0xc0), signextend(7, word))
            mstore(0x00, keccak256(free, 0xe0))
            hash := keccak256(0x00, 0x20)
        }
    }

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
