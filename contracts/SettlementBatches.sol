// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {SettlementEscrow} from "./SettlementEscrow.sol";
import {IVppSettlement} from "./interfaces/IVppSettlement.sol";
import {AssetBook} from "./libraries/AssetBook.sol";
import {TradeMarks} from "./libraries/TradeMarks.sol";

/// @title The batches of a settlement: what is recorded of them, and who disputes them
abstract contract SettlementBatches is IVppSettlement, SettlementEscrow {
    using AssetBook for AssetBook.Book;
    using TradeMarks for TradeMarks.Marks;

    /// @dev Found by its key, which every leaf of its tree holds. `outcomeHash` commits to the
    /// outcome, so that finalization need not compute it again; a co-signed batch has none.
    /// `pausedBefore` is how long pauses had held, all in all, when it was proposed.
    struct Batch {
        uint40 id;
        uint40 finalizableAt;
        BatchStatus status;
        uint64 asset;
        uint32 pausedBefore;
        bytes32 tradesRoot;
        bytes32 outcomeHash;
    }

    /// @dev One argument in place of three: the constructor has as many as the stack bears.
    struct Periods {
        uint32 window;
        uint32 disputeTimeout;
        uint64 disputeBond;
    }

    // -------------------------------------------------------------- constants

    /// @inheritdoc IVppSettlement
    uint64 public immutable window;

    /// @inheritdoc IVppSettlement
    uint64 public immutable disputeTimeout;

    /// @inheritdoc IVppSettlement
    uint64 public immutable disputeBond;

    // ---------------------------------------------------------------- storage

    /// @inheritdoc IVppSettlement
    mapping(uint256 batchId => bytes32 key) public keyOf;

    mapping(bytes32 key => Batch) internal _batches;
    TradeMarks.Marks internal _settled;

    mapping(uint256 batchId => Dispute) internal _disputes;
    mapping(uint256 batchId => mapping(address account => bool)) private _hasDisputed;

    // ------------------------------------------------------------ constructor

    constructor(Periods memory periods) {
        if (periods.window == 0 || periods.disputeTimeout == 0) revert ZeroPeriod();
        window = periods.window;
        disputeTimeout = periods.disputeTimeout;
        disputeBond = periods.disputeBond;
    }

    // --------------------------------------------------------------- disputes

    /// @inheritdoc IVppSettlement
    function disputeTrade(uint256 batchId, Trade memory trade, bytes32[] calldata proof) external {
        (bytes32 key, Batch storage batch) = _batchOf(batchId);
        if (batch.status != BatchStatus.Proposed) revert BatchNotProposed(batchId, batch.status);
        if (block.timestamp >= batch.finalizableAt) {
            revert WindowOver(batchId, batch.finalizableAt);
        }
        if (!verifyTrade(batchId, trade, proof)) revert WrongTrades(batchId);
        if (msg.sender != trade.buyer && msg.sender != trade.seller) {
            revert NotAParty(msg.sender, trade.seq);
        }
        if (_hasDisputed[batchId][msg.sender]) revert DisputedBefore(batchId, msg.sender);

        batch.status = BatchStatus.Disputed;
        _hasDisputed[batchId][msg.sender] = true;
        uint40 timeoutAt = uint40(block.timestamp + disputeTimeout);
        _disputes[batchId] = Dispute({
            account: msg.sender,
            timeoutAt: timeoutAt,
            windowLeft: batch.finalizableAt - uint40(block.timestamp)
        });
        uint256 bond = disputeBond;
        uint256 units = _units(bond);
        _books[CASH].debit(CASH, msg.sender, units);
        _books[CASH].locked += units;

        emit TradeDisputed(key, batchId, msg.sender, trade.seq, bond, timeoutAt);
    }

    /// @inheritdoc IVppSettlement
    function rejectDispute(uint256 batchId) external onlyRole(ARBITER_ROLE) {
        (bytes32 key, Batch storage batch) = _batchOf(batchId);
        if (batch.status != BatchStatus.Disputed) revert BatchNotDisputed(batchId, batch.status);
        Dispute memory dispute = _disputes[batchId];
        if (block.timestamp >= dispute.timeoutAt) {
            revert DisputeTimedOut(batchId, dispute.timeoutAt);
        }

        batch.status = BatchStatus.Proposed;
        batch.finalizableAt = uint40(block.timestamp) + dispute.windowLeft;
        _closeDispute(key, batchId, false, feeCollector(), batch.finalizableAt);
    }

    function _closeDispute(
        bytes32 key,
        uint256 batchId,
        bool upheld,
        address bondTo,
        uint64 finalizableAt_
    ) internal {
        address account = _disputes[batchId].account;
        delete _disputes[batchId];
        uint256 bond = disputeBond;
        uint256 units = _units(bond);
        _books[CASH].locked -= units;
        _books[CASH].credit(bondTo, units);

        emit DisputeResolved(key, batchId, account, upheld, bondTo, bond, finalizableAt_);
    }

    // ---------------------------------------------------------------- records

    function _batchOf(uint256 batchId) internal view returns (bytes32 key, Batch storage batch) {
        key = keyOf[batchId];
        batch = _batches[key];
    }

    function _isClosed(uint256 batchId) internal view returns (bool) {
        BatchStatus status = batchStatus(batchId);
        return status == BatchStatus.Finalized || status == BatchStatus.Cancelled;
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc IVppSettlement
    function isSettled(uint64 seq) external view returns (bool) {
        return _settled.isMarked(seq);
    }

    /// @inheritdoc IVppSettlement
    function batchStatus(uint256 batchId) public view returns (BatchStatus) {
        return _batches[keyOf[batchId]].status;
    }

    /// @inheritdoc IVppSettlement
    function batchOfKey(bytes32 key) external view returns (uint256 batchId) {
        return _batches[key].id;
    }

    /// @inheritdoc IVppSettlement
    function assetOf(uint256 batchId) external view returns (uint256) {
        return _batches[keyOf[batchId]].asset;
    }

    /// @inheritdoc IVppSettlement
    function finalizableAt(uint256 batchId) external view returns (uint64) {
        return _batches[keyOf[batchId]].finalizableAt;
    }

    /// @inheritdoc IVppSettlement
    function tradesRootOf(uint256 batchId) external view returns (bytes32) {
        return _batches[keyOf[batchId]].tradesRoot;
    }

    /// @inheritdoc IVppSettlement
    function batchCount() external view returns (uint256) {
        return _batchCount;
    }

    /// @inheritdoc IVppSettlement
    function nextToFinalize() external view returns (uint256 batchId) {
        batchId = _next;
        while (_isClosed(batchId)) ++batchId;
    }

    /// @inheritdoc IVppSettlement
    function disputeOf(uint256 batchId) external view returns (Dispute memory) {
        return _disputes[batchId];
    }

    /// @inheritdoc IVppSettlement
    function verifyTrade(uint256 batchId, Trade memory trade, bytes32[] calldata proof)
        public
        view
        returns (bool)
    {
        bytes32 key = keyOf[batchId];
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(key, trade))));
        return key != 0 && MerkleProof.verifyCalldata(proof, _batches[key].tradesRoot, leaf);
    }
}
