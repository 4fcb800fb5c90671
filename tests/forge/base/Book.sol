// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IVppSettlement} from "../../../contracts/interfaces/IVppSettlement.sol";

/// @title Words, totals, nets and roots as the specification says them, another way than the
/// contracts compute them
library Book {
    /// @dev A trade between the accounts with these places in the list of its batch.
    struct Deal {
        uint64 seq;
        uint16 buyer;
        uint16 seller;
        uint48 quantity;
        int48 price;
    }

    /// @dev The trade in 32 bytes: packed by the compiler's own encoder.
    function word(Deal memory deal) internal pure returns (uint256) {
        return word(deal, centsOf(deal.quantity, deal.price));
    }

    function word(Deal memory deal, int64 cents) internal pure returns (uint256) {
        bytes memory packed =
            abi.encodePacked(deal.seq, deal.buyer, deal.seller, deal.quantity, deal.price, cents);
        return uint256(bytes32(packed));
    }

    /// @dev Whole cents of the absolute value, one more if the rest is half a cent or more.
    function centsOf(uint48 quantity, int48 price) internal pure returns (int64) {
        uint256 size = uint256(price < 0 ? -int256(price) : int256(price)) * quantity;
        uint256 whole = size / 100_000;
        if (2 * (size % 100_000) >= 100_000) ++whole;
        return price < 0 ? -int64(uint64(whole)) : int64(uint64(whole));
    }

    function words(Deal[] memory deals) internal pure returns (uint256[] memory all) {
        all = new uint256[](deals.length);
        for (uint256 i; i < deals.length; ++i) {
            all[i] = word(deals[i]);
        }
    }

    function nets(Deal[] memory deals, uint256 parties)
        internal
        pure
        returns (int256[] memory all)
    {
        all = new int256[](parties);
        for (uint256 i; i < deals.length; ++i) {
            int256 cents = centsOf(deals[i].quantity, deals[i].price);
            all[deals[i].buyer] -= cents;
            all[deals[i].seller] += cents;
        }
    }

    /// @dev What each gains of what is traded: the buyer of the quantity, the seller gives it.
    function creditNets(Deal[] memory deals, uint256 parties)
        internal
        pure
        returns (int256[] memory all)
    {
        all = new int256[](parties);
        for (uint256 i; i < deals.length; ++i) {
            int256 quantity = int256(uint256(deals[i].quantity));
            all[deals[i].buyer] += quantity;
            all[deals[i].seller] -= quantity;
        }
    }

    /// @dev All totals, as if positive, and all quantities.
    function volume(Deal[] memory deals) internal pure returns (uint256 cents, uint256 quantity) {
        for (uint256 i; i < deals.length; ++i) {
            int256 total = centsOf(deals[i].quantity, deals[i].price);
            cents += uint256(total < 0 ? -total : total);
            quantity += deals[i].quantity;
        }
    }

    function trade(Deal memory deal, address[] memory accounts)
        internal
        pure
        returns (IVppSettlement.Trade memory)
    {
        return IVppSettlement.Trade({
            seq: deal.seq,
            buyer: accounts[deal.buyer],
            seller: accounts[deal.seller],
            quantity: deal.quantity,
            price: deal.price,
            cents: centsOf(deal.quantity, deal.price)
        });
    }

    function leaf(bytes32 key, Deal memory deal, address[] memory accounts)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(bytes.concat(keccak256(abi.encode(key, trade(deal, accounts)))));
    }

    /// @dev The tree as OpenZeppelin's JavaScript lays it out: the root first, the leaves last and
    /// in reverse; the children of node i are 2i + 1 and 2i + 2.
    function tree(bytes32[] memory leaves) internal pure returns (bytes32[] memory nodes) {
        uint256 last = 2 * leaves.length - 2;
        nodes = new bytes32[](last + 1);
        for (uint256 i; i < leaves.length; ++i) {
            nodes[last - i] = leaves[i];
        }
        for (uint256 i = leaves.length - 1; i > 0; --i) {
            (bytes32 a, bytes32 b) = (nodes[2 * i - 1], nodes[2 * i]);
            nodes[i - 1] = a < b ? keccak256(bytes.concat(a, b)) : keccak256(bytes.concat(b, a));
        }
    }

    /// @dev The siblings of a leaf, from it up.
    function proof(bytes32[] memory nodes, uint256 position)
        internal
        pure
        returns (bytes32[] memory siblings)
    {
        uint256 depth;
        for (uint256 i = nodes.length - 1 - position; i > 0; i = (i - 1) / 2) {
            ++depth;
        }
        siblings = new bytes32[](depth);
        uint256 node = nodes.length - 1 - position;
        for (uint256 i; i < depth; ++i) {
            siblings[i] = nodes[node % 2 == 1 ? node + 1 : node - 1];
            node = (node - 1) / 2;
        }
    }
}
