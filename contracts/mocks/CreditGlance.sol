// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1155} from "@openzeppelin/contracts/token/ERC1155/IERC1155.sol";

import {ICarbonCredit} from "../interfaces/ICarbonCredit.sol";

/// @title All that the credit ledger says of some batches, in one call
contract CreditGlance {
    struct Row {
        ICarbonCredit.Batch batch;
        ICarbonCredit.Status status;
        bool transferable;
        uint256 supply;
        uint64 deficit;
        ICarbonCredit.Invalidation invalidation;
        uint256[] balances;
    }

    function rows(ICarbonCredit credit, uint256[] calldata batchIds, address[] calldata holders)
        external
        view
        returns (Row[] memory found)
    {
        found = new Row[](batchIds.length);
        for (uint256 i; i < batchIds.length; ++i) {
            uint256 id = batchIds[i];
            found[i] = Row(
                credit.batchOf(id),
                credit.statusOf(id),
                credit.isTransferable(id),
                credit.totalSupply(id),
                credit.deficitOf(id),
                credit.invalidationOf(id),
                new uint256[](holders.length)
            );
            for (uint256 j; j < holders.length; ++j) {
                found[i].balances[j] = IERC1155(address(credit)).balanceOf(holders[j], id);
            }
        }
    }
}
