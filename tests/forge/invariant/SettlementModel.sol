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
        uint256 asset;
        uint256 finalizableAt;
        IVppSettlement.BatchStatus status;
        bool cosigned;
        address disputer;
        uint256 timeoutAt;
        uint256 windowLeft;
        uint256 pausedBefore;
        Book.Deal[] deals;
        int256[] nets;
        int256[] creditNets;
    }

    uint256 internal constant MAX_BATCHES = 30; // a finalization passes 32 closed ones
    uint256 internal constant MAX_SEQS = 300;

    mapping(uint256 asset => mapping(address account => uint256)) public balance;
    mapping(uint256 asset => uint256) public locked;
    mapping(uint256 asset => uint256) public deposited;
    mapping(uint256 asset => uint256) public withdrawn;
    mapping(uint256 seq => bool) public marked;
    mapping(uint256 batchId => mapping(address account => bool)) internal _hasDisputed;
    BatchModel[] internal _batches; // the batch with id 1 comes first
    uint256[] public seqs; // every number that was ever proposed
    uint256 public given; // currency that was sent without a deposit
    uint256 public feeModel; // hundredths of a percent
    uint256 public nextFeeModel;
    uint256 public nextFeeFrom;
    uint64 public notionalCapModel = NOTIONAL_CAP;
    uint64 public creditCapModel = CREDIT_CAP;
    bool public frozen;
    bool public pausedModel;
    uint256 internal _pausedSince;
    uint256 internal _pausedSum; // seconds of all pauses that are over

    constructor() {
        buildSettlement(5);
        for (uint256 i; i < parties.length; ++i) {
            deposit(parties[i], 1e6);
            depositCredits(parties[i], 1e6);
            balance[CASH][parties[i]] = 1e6 * UNIT;
            balance[CREDIT][parties[i]] = 1e6;
            deposited[CASH] += 1e6 * UNIT;
            deposited[CREDIT] += 1e6;
        }
    }

    function isOpen(uint256 batchId) internal view returns (bool) {
        return is_(batchId, IVppSettlement.BatchStatus.Proposed)
            || is_(batchId, IVppSettlement.BatchStatus.Disputed);
    }

    function is_(uint256 batchId, IVppSettlement.BatchStatus status) internal view returns (bool) {
        return _batches[batchId - 1].status == status;
    }

    /// @dev The lowest batch that waits, or the next to come.
    function nextBatch() public view returns (uint256 batchId) {
        for (batchId = 1; batchId <= _batches.length; ++batchId) {
            if (isOpen(batchId)) return batchId;
        }
    }

    function feeNow() public view returns (uint256) {
        return nextFeeFrom != 0 && block.timestamp >= nextFeeFrom ? nextFeeModel : feeModel;
    }

    // ------------------------------------------------------------------- books

    function _lockModel(uint256 asset, int256[] memory nets, uint256 unit) private {
        for (uint256 i; i < nets.length; ++i) {
            if (nets[i] >= 0) continue;
            balance[asset][parties[i]] -= uint256(-nets[i]) * unit;
            locked[asset] += uint256(-nets[i]) * unit;
        }
    }

    /// @dev All that was locked goes; what no creditor gains of it is the fee.
    function _unlockModel(uint256 asset, int256[] memory nets, uint256 unit, bool back) private {
        uint256 owed;
        uint256 gained;
        for (uint256 i; i < nets.length; ++i) {
            if (nets[i] < 0) {
                owed += uint256(-nets[i]) * unit;
                if (back) balance[asset][parties[i]] += uint256(-nets[i]) * unit;
            } else if (!back) {
                gained += uint256(nets[i]) * unit;
                balance[asset][parties[i]] += uint256(nets[i]) * unit;
            }
        }
        locked[asset] -= owed;
        if (!back) balance[asset][collector] += owed - gained;
    }

    function modelPropose(bytes32 key, uint256 asset, Book.Deal[] memory deals, bool cosigned_)
        internal
    {
        IVppSettlement.Outcome memory outcome = outcomeOf(asset, deals, feeNow());
        BatchModel storage batch = _batches.push();
        batch.key = key;
        batch.asset = asset;
        batch.finalizableAt = block.timestamp + (cosigned_ ? 0 : WINDOW);
        batch.status = IVppSettlement.BatchStatus.Proposed;
        batch.cosigned = cosigned_;
        batch.pausedBefore = _pausedSum;
        batch.nets = outcome.nets;
        batch.creditNets = outcome.creditNets;
        for (uint256 i; i < deals.length; ++i) {
            batch.deals.push(deals[i]);
            _mark(deals[i].seq);
        }
        _lockModel(CASH, batch.nets, UNIT);
        _lockModel(asset, batch.creditNets, 1);
    }

    function modelSettleOne(uint256 asset, Book.Deal memory deal) internal {
        Book.Deal[] memory one = new Book.Deal[](1);
        one[0] = deal;
        IVppSettlement.Outcome memory outcome = outcomeOf(asset, one, feeNow());
        _mark(deal.seq);
        _lockModel(CASH, outcome.nets, UNIT);
        _lockModel(asset, outcome.creditNets, 1);
        _unlockModel(CASH, outcome.nets, UNIT, false);
        _unlockModel(asset, outcome.creditNets, 1, false);
    }

    function modelFinalize(uint256 batchId) internal {
        BatchModel storage batch = _batches[batchId - 1];
        batch.status = IVppSettlement.BatchStatus.Finalized;
        _unlockModel(CASH, batch.nets, UNIT, false);
        _unlockModel(batch.asset, batch.creditNets, 1, false);
    }

    function modelCancel(uint256 batchId) internal {
        BatchModel storage batch = _batches[batchId - 1];
        if (is_(batchId, IVppSettlement.BatchStatus.Disputed)) {
            _modelBond(batchId, batch.disputer);
        }
        batch.status = IVppSettlement.BatchStatus.Cancelled;
        _unlockModel(CASH, batch.nets, UNIT, true);
        _unlockModel(batch.asset, batch.creditNets, 1, true);
        for (uint256 i; i < batch.deals.length; ++i) {
            marked[batch.deals[i].seq] = false;
        }
    }

    function modelDispute(uint256 batchId, address account) internal {
        BatchModel storage batch = _batches[batchId - 1];
        batch.status = IVppSettlement.BatchStatus.Disputed;
        batch.disputer = account;
        batch.timeoutAt = block.timestamp + TIMEOUT;
        batch.windowLeft = batch.finalizableAt - block.timestamp;
        _hasDisputed[batchId][account] = true;
        balance[CASH][account] -= BOND * UNIT;
        locked[CASH] += BOND * UNIT;
    }

    function modelReject(uint256 batchId) internal {
        BatchModel storage batch = _batches[batchId - 1];
        batch.status = IVppSettlement.BatchStatus.Proposed;
        batch.finalizableAt = block.timestamp + batch.windowLeft;
        _modelBond(batchId, collector);
    }

    function _modelBond(uint256 batchId, address to) private {
        balance[CASH][to] += BOND * UNIT;
        locked[CASH] -= BOND * UNIT;
        _batches[batchId - 1].disputer = address(0);
    }

    /// @dev Whether pauses have held for the time-out since the proposal, and one holds.
    function isHeldByPauses(uint256 batchId) internal view returns (bool) {
        BatchModel storage batch = _batches[batchId - 1];
        uint256 held = _pausedSum + (block.timestamp - _pausedSince) - batch.pausedBefore;
        return pausedModel && held >= TIMEOUT && block.timestamp >= batch.finalizableAt + TIMEOUT;
    }

    function _mark(uint64 seq) private {
        if (!marked[seq]) seqs.push(seq);
        marked[seq] = true;
    }

    /// @dev Whether every debtor of these trades has what it owes, of both kinds.
    function isSolvent(uint256 asset, Book.Deal[] memory deals) internal view returns (bool) {
        IVppSettlement.Outcome memory outcome = outcomeOf(asset, deals, feeNow());
        for (uint256 i; i < parties.length; ++i) {
            int256 net = outcome.nets[i];
            if (net < 0 && uint256(-net) * UNIT > balance[CASH][parties[i]]) return false;
            if (asset == CASH) continue;
            net = outcome.creditNets[i];
            if (net < 0 && uint256(-net) > balance[asset][parties[i]]) return false;
        }
        return true;
    }

    function isWithinCaps(uint256 asset, Book.Deal[] memory deals) internal view returns (bool) {
        (uint256 cents, uint256 quantity) = deals.volume();
        return cents <= notionalCapModel && (asset == CASH || quantity <= creditCapModel);
    }

    function mayMove(uint256 asset) internal view returns (bool) {
        return asset == CASH || !frozen;
    }

    function outcomeOfBatch(uint256 batchId)
        internal
        view
        returns (IVppSettlement.Outcome memory outcome)
    {
        outcome.accounts = parties;
        outcome.nets = _batches[batchId - 1].nets;
        outcome.creditNets = _batches[batchId - 1].creditNets;
    }

    function dealsOf(uint256 batchId) internal view returns (Book.Deal[] memory) {
        return _batches[batchId - 1].deals;
    }

    // ---------------------------------------------------------------- choosing

    function anyParty(uint256 seed) internal view returns (address) {
        return parties[seed % parties.length];
    }

    function anyAsset(uint256 seed) internal pure returns (uint256) {
        return seed % 2 == 0 ? CASH : CREDIT;
    }

    function anyBatch(uint256 seed) internal view returns (uint256) {
        return 1 + seed % _batches.length;
    }

    function batchCount() external view returns (uint256) {
        return _batches.length;
    }

    function modelOf(uint256 batchId)
        external
        view
        returns (bytes32 key, IVppSettlement.BatchStatus status, uint256 time, address disputer)
    {
        BatchModel storage batch = _batches[batchId - 1];
        return (batch.key, batch.status, batch.finalizableAt, batch.disputer);
    }

    function seqCount() external view returns (uint256) {
        return seqs.length;
    }

    /// @dev The parties, and who collects the fees.
    function accounts() external view returns (address[] memory all) {
        all = new address[](parties.length + 1);
        for (uint256 i; i < parties.length; ++i) {
            all[i] = parties[i];
        }
        all[parties.length] = collector;
    }
}
