// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IVppSettlement} from "../interfaces/IVppSettlement.sol";
import {TradeTree} from "./TradeTree.sol";
import {TradeWord} from "./TradeWord.sol";

/// @title From the trades of a batch to what each account gains, and to the root that commits to
/// them
library Netting {
    using TradeWord for uint256;

    /// @notice Checks each trade by itself and adds them up.
    /// @param key the key of the batch
    /// @param accounts the parties, ascending
    /// @param words the trades
    /// @return nets what each account gains, in cents
    /// @return root the Merkle root over the trades
    function net(bytes32 key, address[] memory accounts, uint256[] calldata words)
        internal
        pure
        returns (int256[] memory nets, bytes32 root)
    {
        if (words.length == 0) revert IVppSettlement.EmptyBatch();
        _checkAccounts(accounts);
        nets = new int256[](accounts.length);
        bytes32[] memory nodes = new bytes32[](2 * words.length - 1);

        // A bounded number of trades, of 64-bit totals: neither counters nor sums overflow.
        unchecked {
            for (uint256 i; i < words.length; ++i) {
                uint256 word = words[i];
                uint256 buyer = word.buyer();
                uint256 seller = word.seller();
                int256 cents = _checkTrade(word, buyer, seller, accounts.length);

                nets[buyer] -= cents;
                nets[seller] += cents;
                nodes[i] = TradeTree.leaf(key, word, accounts[buyer], accounts[seller]);
            }
        }
        root = TradeTree.root(nodes, words.length);
    }

    function _checkTrade(uint256 word, uint256 buyer, uint256 seller, uint256 parties)
        private
        pure
        returns (int256 cents)
    {
        if (buyer >= parties) revert IVppSettlement.UnknownParty(word.seq(), word.buyer());
        if (seller >= parties) revert IVppSettlement.UnknownParty(word.seq(), word.seller());
        if (buyer == seller) revert IVppSettlement.SelfTrade(word.seq());
        cents = word.cents();
        int256 total = word.totalHalfAwayFromZero();
        if (cents != total) revert IVppSettlement.WrongTotal(word.seq(), word.cents(), total);
    }

    function _checkAccounts(address[] memory accounts) private pure {
        address previous;
        for (uint256 i; i < accounts.length; ++i) {
            if (accounts[i] == address(0)) revert IVppSettlement.ZeroAddress();
            if (accounts[i] <= previous) revert IVppSettlement.AccountsNotSorted(i);
            previous = accounts[i];
        }
    }
}
