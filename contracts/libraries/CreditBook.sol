// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICreditOversight} from "../interfaces/ICreditOversight.sol";
import {ICreditRegistry} from "../interfaces/ICreditRegistry.sol";
import {BatchWord} from "./BatchWord.sol";

/// @dev Shares one slot with the bookkeeping of every ledger event, so that the pause is read for
/// free there.
struct Counters {
    uint64 seq;
    uint64 retirements;
    uint32 classes;
    uint32 projects;
    uint32 sites;
    uint32 pausedAt;
}

/// @dev All that the credit ledger stores, balances, approvals, roles and nonces aside.
struct Book {
    bytes32 head;
    Counters counters;
    mapping(uint32 classId => ICreditRegistry.Class) classes;
    mapping(uint32 projectId => ICreditRegistry.Project) projects;
    mapping(uint32 siteId => ICreditRegistry.Site) sites;
    mapping(bytes32 codeHash => uint32 id) classOfCode;
    mapping(bytes32 codeHash => uint32 id) projectOfCode;
    mapping(bytes32 codeHash => uint32 id) siteOfCode;
    mapping(uint256 batchId => BatchWord) batches;
    mapping(bytes32 key => uint256 batchId) batchOfKey;
    mapping(bytes32 evidenceRoot => uint256 batchId) batchOfEvidenceRoot;
    mapping(uint256 batchId => ICreditOversight.Invalidation) invalidations;
    mapping(uint256 batchId => uint64 kilograms) deficits;
    mapping(bytes32 pair => bool) overlaps;
}

/// @title What every part of the credit ledger does with its book: the seal and the status
library CreditBook {
    /// @notice The longest text in an event, in bytes.
    uint256 internal constant MAX_TEXT = 1024;

    /// @notice The most batches that one transaction retires.
    uint256 internal constant MAX_BATCHES = 100;

    /// @notice Adds a record to the sealed log.
    /// @param record keccak-256 of the ABI encoding of the event's topic and its arguments
    function seal(Book storage self, bytes32 record) internal returns (uint64 seq, bytes32 head) {
        seq = ++self.counters.seq;
        head = keccak256(abi.encode(self.head, seq, record));
        self.head = head;
    }

    /// @notice Reverts unless units of a batch may move: the status and the expiry.
    function requireMovable(Book storage self, uint256 batchId) internal view {
        BatchWord batch = self.batches[batchId];
        ICreditOversight.Status status = batch.status();
        if (status != ICreditOversight.Status.Active) {
            if (status == ICreditOversight.Status.None) {
                revert ICreditOversight.UnknownBatch(batchId);
            }
            revert ICreditOversight.NotActive(batchId, status);
        }
        if (batch.isPast()) revert ICreditOversight.BatchExpired(batchId, batch.expiresAt());
    }

    /// @notice Changes the status of a batch, which is another one.
    function setStatus(Book storage self, uint256 batchId, ICreditOversight.Status newStatus)
        internal
    {
        BatchWord batch = self.batches[batchId];
        ICreditOversight.Status oldStatus = batch.status();
        self.batches[batchId] = batch.withStatus(newStatus);

        (uint64 seq, bytes32 head) = seal(
            self,
            keccak256(
                abi.encode(ICreditOversight.StatusChanged.selector, batchId, oldStatus, newStatus)
            )
        );
        emit ICreditOversight.StatusChanged(batchId, oldStatus, newStatus, seq, head);
    }

    function requireShort(string memory text, uint256 limit) internal pure {
        if (bytes(text).length > limit) {
            revert ICreditRegistry.TextTooLong(bytes(text).length, limit);
        }
    }
}
