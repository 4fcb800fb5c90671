// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICreditOversight} from "../interfaces/ICreditOversight.sol";
import {BatchWord} from "./BatchWord.sol";
import {Book, CreditBook} from "./CreditBook.sol";
import {EvidenceTree} from "./EvidenceTree.sol";

/// @title What stops a batch of the credit ledger, and what puts it right
/// @dev A linked library: its code runs in the ledger, at an address that is part of the ledger's
/// code. Roles are the ledger's affair and are checked there.
library Oversight {
    using CreditBook for Book;
    using EvidenceTree for ICreditOversight.ProvenReading;
    using EvidenceTree for ICreditOversight.Reading;

    /// @notice How long a proposal to invalidate waits, so that it can be seen and answered.
    uint256 internal constant INVALIDATION_DELAY = 7 days;

    // ----------------------------------------------- suspension, reinstatement

    function suspend(Book storage book, uint256 batchId) external {
        ICreditOversight.Status status = _statusOfIssued(book, batchId);
        if (status != ICreditOversight.Status.Active) {
            revert ICreditOversight.NotActive(batchId, status);
        }
        book.setStatus(batchId, ICreditOversight.Status.Suspended);
    }

    function reinstate(Book storage book, uint256 batchId) external {
        ICreditOversight.Status status = _statusOfIssued(book, batchId);
        if (
            status != ICreditOversight.Status.Suspended
                && status != ICreditOversight.Status.Disputed
        ) {
            revert ICreditOversight.NotStopped(batchId, status);
        }

        if (book.invalidations[batchId].proposer != address(0)) {
            delete book.invalidations[batchId];
            (uint64 seq, bytes32 head) = book.seal(
                keccak256(abi.encode(ICreditOversight.InvalidationDropped.selector, batchId))
            );
            emit ICreditOversight.InvalidationDropped(batchId, seq, head);
        }
        book.setStatus(batchId, ICreditOversight.Status.Active);
    }

    function expire(Book storage book, uint256 batchId) external {
        ICreditOversight.Status status = _statusOfIssued(book, batchId);
        if (status != ICreditOversight.Status.Active) {
            revert ICreditOversight.NotActive(batchId, status);
        }
        BatchWord batch = book.batches[batchId];
        if (!batch.isPast()) revert ICreditOversight.NotExpired(batchId, batch.expiresAt());
        book.setStatus(batchId, ICreditOversight.Status.Expired);
    }

    // --------------------------------------------------------------- disputes

    function proveOverlap(
        Book storage book,
        ICreditOversight.ProvenReading calldata first,
        ICreditOversight.ProvenReading calldata second
    ) external {
        uint256 firstId = _batchOf(book, first);
        uint256 secondId = _batchOf(book, second);
        if (firstId == secondId) revert ICreditOversight.SameBatch(firstId);
        if (first.reading.meter != second.reading.meter || !first.reading.overlap(second.reading)) {
            revert ICreditOversight.NoOverlap(first.reading.meter, second.reading.meter);
        }
        _requireNotCancelled(book, firstId);
        _requireNotCancelled(book, secondId);
        bytes32 pair = pairOf(firstId, secondId);
        if (book.overlaps[pair]) revert ICreditOversight.OverlapAlreadyProven(firstId, secondId);

        book.overlaps[pair] = true;
        _recordOverlap(book, firstId, secondId, first.reading, second.reading);
        _dispute(book, firstId);
        _dispute(book, secondId);
    }

    function _recordOverlap(
        Book storage book,
        uint256 firstId,
        uint256 secondId,
        ICreditOversight.Reading calldata first,
        ICreditOversight.Reading calldata second
    ) private {
        (uint64 seq, bytes32 head) = book.seal(
            keccak256(
                abi.encode(
                    ICreditOversight.OverlapProven.selector,
                    firstId,
                    secondId,
                    msg.sender,
                    first,
                    second
                )
            )
        );
        emit ICreditOversight.OverlapProven(firstId, secondId, msg.sender, first, second, seq, head);
    }

    /// @dev The batch in whose sum a reading is.
    function _batchOf(Book storage book, ICreditOversight.ProvenReading calldata proven)
        private
        view
        returns (uint256 batchId)
    {
        batchId = book.batchOfEvidenceRoot[proven.evidenceRoot];
        if (batchId == 0) revert ICreditOversight.UnknownEvidenceRoot(proven.evidenceRoot);
        if (!proven.holds()) revert ICreditOversight.BadReadingProof(proven.evidenceRoot);
        if (!proven.reading.counts()) {
            revert ICreditOversight.ReadingNotCounted(proven.reading.quality);
        }
    }

    // ----------------------------------------------------------- invalidation

    function proposeInvalidation(Book storage book, uint256 batchId, string calldata reason)
        external
    {
        CreditBook.requireShort(reason, CreditBook.MAX_TEXT);
        _requireNotCancelled(book, batchId);
        address pending = book.invalidations[batchId].proposer;
        if (pending != address(0)) revert ICreditOversight.InvalidationPending(batchId, pending);

        uint64 executableAt = uint64(block.timestamp + INVALIDATION_DELAY);
        book.invalidations[batchId] =
            ICreditOversight.Invalidation({proposer: msg.sender, executableAt: executableAt});

        (uint64 seq, bytes32 head) = book.seal(
            keccak256(
                abi.encode(
                    ICreditOversight.InvalidationProposed.selector,
                    batchId,
                    msg.sender,
                    executableAt,
                    reason
                )
            )
        );
        emit ICreditOversight.InvalidationProposed(
            batchId, msg.sender, executableAt, reason, seq, head
        );
        _dispute(book, batchId);
    }

    function executeInvalidation(Book storage book, uint256 batchId) external {
        ICreditOversight.Invalidation memory pending = book.invalidations[batchId];
        if (pending.proposer == address(0)) revert ICreditOversight.NoInvalidation(batchId);
        if (pending.proposer == msg.sender) revert ICreditOversight.TwoKeysNeeded(msg.sender);
        if (block.timestamp < pending.executableAt) {
            revert ICreditOversight.InvalidationTooEarly(batchId, pending.executableAt);
        }

        uint64 frozen = book.batches[batchId].held();
        uint64 deficit = book.batches[batchId].retired();
        delete book.invalidations[batchId];
        book.deficits[batchId] = deficit;

        (uint64 seq, bytes32 head) = book.seal(
            keccak256(
                abi.encode(
                    ICreditOversight.Invalidated.selector, batchId, msg.sender, frozen, deficit
                )
            )
        );
        emit ICreditOversight.Invalidated(batchId, msg.sender, frozen, deficit, seq, head);
        book.setStatus(batchId, ICreditOversight.Status.Cancelled);
    }

    // ------------------------------------------------------------------ views

    function verifyReading(Book storage book, ICreditOversight.ProvenReading calldata proven)
        external
        view
        returns (uint256 batchId)
    {
        return proven.holds() ? book.batchOfEvidenceRoot[proven.evidenceRoot] : 0;
    }

    // ----------------------------------------------------------------- shared

    /// @notice What names two batches, in either order.
    function pairOf(uint256 firstBatchId, uint256 secondBatchId) internal pure returns (bytes32) {
        return firstBatchId < secondBatchId
            ? keccak256(abi.encode(firstBatchId, secondBatchId))
            : keccak256(abi.encode(secondBatchId, firstBatchId));
    }

    function _dispute(Book storage book, uint256 batchId) private {
        if (book.batches[batchId].status() != ICreditOversight.Status.Disputed) {
            book.setStatus(batchId, ICreditOversight.Status.Disputed);
        }
    }

    function _requireNotCancelled(Book storage book, uint256 batchId) private view {
        if (_statusOfIssued(book, batchId) == ICreditOversight.Status.Cancelled) {
            revert ICreditOversight.AlreadyCancelled(batchId);
        }
    }

    function _statusOfIssued(Book storage book, uint256 batchId)
        private
        view
        returns (ICreditOversight.Status status)
    {
        status = book.batches[batchId].status();
        if (status == ICreditOversight.Status.None) revert ICreditOversight.UnknownBatch(batchId);
    }
}
