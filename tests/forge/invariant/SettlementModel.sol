// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IVppSettlement} from "../../../contracts/interfaces/IVppSettlement.sol";
import {Book} from "../base/Book.sol";
import {SettlementPark} from "../base/SettlementPark.sol";

/// @title What must be true of VppSettlement, kept beside it in plain sums
abstract contract SettlementModel is SettlementPark {
    using Book for Book.Deal[];

    struct BatchModel {
        bytes32 key;
        uint256 finalizableAt;
        IVppSettlement.BatchStatus status;
        Book.Deal[] deals;
    }

    uint256 internal constant MAX_BATCHES = 40;

    mapping(address account => uint256) public balance;
    mapping(uint256 seq => bool) public marked;
    BatchModel[] internal _batches; // the batch with id 1 comes first
    uint256[] public seqs; // every number that was ever proposed
    uint256 public locked;
    uint256 public deposited;
    uint256 public withdrawn;
    uint256 public given; // sent to the contract without a deposit
    uint256 public finalized;
    bool public pausedModel;

    constructor() {
        buildSettlement();
    }

    function isProposed(uint256 batchId) internal view returns (bool) {
        return _batches[batchId - 1].status == IVppSettlement.BatchStatus.Proposed;
    }

    /// @dev The lowest batch that waits, or the next to come.
    function nextBatch() public view returns (uint256 batchId) {
        for (batchId = 1; batchId <= _batches.length; ++batchId) {
            if (isProposed(batchId)) return batchId;
        }
    }

    function batchModel(uint256 batchId)
        external
        view
        returns (bytes32 key, IVppSettlement.BatchStatus status)
    {
        return (_batches[batchId - 1].key, _batches[batchId - 1].status);
    }

    function modelPropose(bytes32 key, Book.Deal[] memory deals) internal {
        BatchModel storage batch = _batches.push();
        batch.key = key;
        batch.finalizableAt = block.timestamp + WINDOW;
        batch.status = IVppSettlement.BatchStatus.Proposed;
        for (uint256 i; i < deals.length; ++i) {
            batch.deals.push(deals[i]);
            seqs.push(deals[i].seq);
            marked[deals[i].seq] = true;
        }
        int256[] memory nets = deals.nets(parties.length);
        for (uint256 i; i < nets.length; ++i) {
            if (nets[i] >= 0) continue;
            balance[parties[i]] -= uint256(-nets[i]) * UNIT;
            locked += uint256(-nets[i]) * UNIT;
        }
    }

    function modelFinalize(uint256 batchId) internal {
        BatchModel storage batch = _batches[batchId - 1];
        batch.status = IVppSettlement.BatchStatus.Finalized;
        ++finalized;
        int256[] memory nets = dealsOf(batchId).nets(parties.length);
        for (uint256 i; i < nets.length; ++i) {
            if (nets[i] <= 0) continue;
            balance[parties[i]] += uint256(nets[i]) * UNIT;
            locked -= uint256(nets[i]) * UNIT;
        }
    }

    function modelCancel(uint256 batchId) internal {
        BatchModel storage batch = _batches[batchId - 1];
        batch.status = IVppSettlement.BatchStatus.Cancelled;
        int256[] memory nets = dealsOf(batchId).nets(parties.length);
        for (uint256 i; i < nets.length; ++i) {
            if (nets[i] >= 0) continue;
            balance[parties[i]] += uint256(-nets[i]) * UNIT;
            locked -= uint256(-nets[i]) * UNIT;
        }
        for (uint256 i; i < batch.deals.length; ++i) {
            marked[batch.deals[i].seq] = false;
        }
    }

    /// @dev Whether every debtor of these trades has what it owes.
    function isSolvent(Book.Deal[] memory deals) internal view returns (bool) {
        int256[] memory nets = deals.nets(parties.length);
        for (uint256 i; i < nets.length; ++i) {
            if (nets[i] < 0 && uint256(-nets[i]) * UNIT > balance[parties[i]]) return false;
        }
        return true;
    }

    function dealsOf(uint256 batchId) internal view returns (Book.Deal[] memory) {
        return _batches[batchId - 1].deals;
    }

    // ---------------------------------------------------------------- choosing

    function anyParty(uint256 seed) internal view returns (address) {
        return parties[seed % parties.length];
    }

    function anyBatch(uint256 seed) internal view returns (uint256) {
        return 1 + seed % _batches.length;
    }

    function batchCount() external view returns (uint256) {
        return _batches.length;
    }

    function seqCount() external view returns (uint256) {
        return seqs.length;
    }

    function party(uint256 index) external view returns (address) {
        return parties[index];
    }

    function partyCount() external view returns (uint256) {
        return parties.length;
    }
}
