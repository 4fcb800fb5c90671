// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ISettlementEscrow} from "../interfaces/ISettlementEscrow.sol";
import {IVppSettlement} from "../interfaces/IVppSettlement.sol";
import {TradeTree} from "./TradeTree.sol";
import {TradeWord} from "./TradeWord.sol";

/// @title From the trades of a batch to what each account gains, and to the root that commits to
/// them
/// @dev Cents and kilograms are added up in one number: cents in its upper half, kilograms in its
/// lower. Both are signed; a negative lower half borrows one from the upper, which `_split` gives
/// back. A batch of 2,000 trades of 64 bits is far from filling either half.
library Netting {
    using TradeWord for uint256;

    /// @notice Checks each trade by itself and adds them up.
    /// @param key the key of the batch
    /// @param accounts the parties, ascending
    /// @param words the trades
    /// @return gains what each account gains of both: cents and kilograms
    /// @return volume the sum of all totals and of all quantities, as if positive
    /// @return root the Merkle root over the trades
    function net(bytes32 key, address[] memory accounts, uint256[] calldata words)
        internal
        pure
        returns (int256[] memory gains, uint256 volume, bytes32 root)
    {
        if (words.length == 0) revert IVppSettlement.EmptyBatch();
        _checkAccounts(accounts);
        gains = new int256[](accounts.length);
        bytes32[] memory nodes = new bytes32[](2 * words.length - 1);

        // A bounded number of trades, of 64-bit totals: neither counters nor sums overflow.
        unchecked {
            for (uint256 i; i < words.length; ++i) {
                uint256 word = words[i];
                _checkTrade(word, accounts.length);
                volume += _book(word, gains);
                nodes[i] = TradeTree.leaf(key, word, accounts);
            }
        }
        root = TradeTree.root(nodes, words.length);
    }

    function _checkTrade(uint256 word, uint256 parties) private pure {
        uint256 buyer = word.buyer();
        uint256 seller = word.seller();
        if (buyer >= parties) revert IVppSettlement.UnknownParty(word.seq(), word.buyer());
        if (seller >= parties) revert IVppSettlement.UnknownParty(word.seq(), word.seller());
        if (buyer == seller) revert IVppSettlement.SelfTrade(word.seq());
        int256 total = TradeWord.totalHalfAwayFromZero(word.quantity(), word.price());
        if (word.cents() != total) {
            revert IVppSettlement.WrongTotal(word.seq(), word.cents(), total);
        }
    }

    function _book(uint256 word, int256[] memory gains) private pure returns (uint256 volume) {
        unchecked {
            int256 cents = word.cents();
            uint256 quantity = word.quantity();
            int256 gain = (cents << 128) - int256(quantity);
            gains[word.buyer()] -= gain;
            gains[word.seller()] += gain;
            return (uint256(cents < 0 ? -cents : cents) << 128) + quantity;
        }
    }

    /// @notice Takes cents and kilograms of each account apart.
    function split(int256[] memory gains)
        internal
        pure
        returns (int256[] memory nets, int256[] memory creditNets)
    {
        nets = gains;
        creditNets = new int256[](gains.length);
        for (uint256 i; i < gains.length; ++i) {
            creditNets[i] = int128(gains[i]);
            nets[i] = (gains[i] - creditNets[i]) >> 128;
        }
    }

    function _checkAccounts(address[] memory accounts) private pure {
        address previous;
        for (uint256 i; i < accounts.length; ++i) {
            if (accounts[i] == address(0)) revert ISettlementEscrow.ZeroAddress();
            if (accounts[i] <= previous) revert IVppSettlement.AccountsNotSorted(i);
            previous = accounts[i];
        }
    }
}
