// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TradeWord} from "./TradeWord.sol";

/// @title The Merkle tree over the trades of a batch
/// @dev Typed leaves, ABI-encoded and hashed twice, so that no inner node passes as a leaf; sorted
/// pairs. The same root and proofs as OpenZeppelin's `StandardMerkleTree` with `sortLeaves: false`.
library TradeTree {
    using TradeWord for uint256;

    /// @notice `keccak256(keccak256(abi.encode(key, seq, buyer, seller, quantity, price, cents)))`
    /// @param key the key of the batch
    /// @param word the trade
    /// @param buyer the account that its buyer is
    /// @param seller the account that its seller is
    function leaf(bytes32 key, uint256 word, address buyer, address seller)
        internal
        pure
        returns (bytes32 hash)
    {
        // At full width, so that no bit of a narrower type is left to chance.
        uint256 seq = word.seq();
        uint256 quantity = word.quantity();
        int256 price = word.price();
        int256 cents = word.cents();
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
                switch lt(left, right)
                case 0 {
                    mstore(0x00, right)
                    mstore(0x20, left)
                }
                default {
                    mstore(0x00, left)
                    mstore(0x20, right)
                }
                mstore(end, keccak256(0x00, 0x40))
                head := add(head, 0x40)
                end := add(end, 0x20)
            }
            hash := mload(head)
        }
    }
}
