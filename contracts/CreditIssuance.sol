// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {CreditOversight} from "./CreditOversight.sol";
import {ICarbonCredit} from "./interfaces/ICarbonCredit.sol";
import {BatchWord, BatchWords} from "./libraries/BatchWord.sol";
import {Book, CreditBook} from "./libraries/CreditBook.sol";
import {Signature} from "./libraries/Signature.sol";
import {SignedMessages} from "./libraries/SignedMessages.sol";

/// @title How a batch of credits is opened: the claim, the parties, the site's time
/// @dev Assumed: the verifiers of a class have seen the evidence that they sign for.
///
/// Promised: nobody issues alone, and nobody without a role of the class. A key, an evidence root
/// and a second of a site's time are issued upon once, for ever.
abstract contract CreditIssuance is ICarbonCredit, CreditOversight, EIP712 {
    using CreditBook for Book;

    // --------------------------------------------------------------- issuance

    /// @dev Opens the batch of a claim; the units are still to be minted.
    /// @return batchId the new batch
    /// @return buffered what of the amount goes to the buffer
    function _open(Claim memory claim, address verifier, bytes calldata signature)
        internal
        returns (uint256 batchId, uint64 buffered)
    {
        _checkClaim(claim);
        _checkParties(claim, verifier, signature);

        (batchId, buffered) = _enter(claim);

        (uint64 seq, bytes32 head) = _book.seal(
            keccak256(
                abi.encode(
                    Issued.selector,
                    claim.key,
                    batchId,
                    claim.recipient,
                    claim,
                    msg.sender,
                    verifier,
                    buffered
                )
            )
        );
        emit Issued(
            claim.key, batchId, claim.recipient, claim, msg.sender, verifier, buffered, seq, head
        );
    }

    /// @dev What can be said of a claim without asking who brings it. The key and the root come
    /// first, so that a repetition of an issuance that went through is told so, whatever else has
    /// changed since.
    function _checkClaim(Claim memory claim) private view {
        if (claim.key == 0) revert EmptyKey();
        if (claim.evidenceRoot == 0) revert EmptyEvidenceRoot();
        if (_book.batchOfKey[claim.key] != 0) revert KeyUsed(claim.key);
        if (_book.batchOfEvidenceRoot[claim.evidenceRoot] != 0) {
            revert EvidenceRootUsed(claim.evidenceRoot);
        }
        if (claim.amount == 0) revert ZeroAmount();
        if (claim.amount > type(uint40).max) revert AmountTooLarge(claim.amount);
        if (claim.amount > claim.evidenceTotal) {
            revert AmountAboveEvidence(claim.amount, claim.evidenceTotal);
        }
        if (claim.periodStart >= claim.periodEnd || claim.periodEnd > block.timestamp) {
            revert BadPeriod(claim.periodStart, claim.periodEnd);
        }
        if (claim.expiresAt != 0 && claim.expiresAt <= block.timestamp) {
            revert BadExpiry(claim.expiresAt);
        }
        if (claim.deadline < block.timestamp) revert ClaimExpired(claim.deadline);
    }

    /// @dev Three different parties: the issuer sends, the verifier has signed, the owner of the
    /// project does neither.
    function _checkParties(Claim memory claim, address verifier, bytes calldata signature)
        private
        view
    {
        _checkRole(issuerRole(claim.classId));
        if (!hasRole(verifierRole(claim.classId), verifier)) {
            revert NotAVerifier(verifier, claim.classId);
        }

        Project memory project = _book.projects[claim.projectId];
        uint32 projectId = _book.sites[claim.siteId].projectId;
        if (projectId == 0) revert UnknownSite(claim.siteId);
        if (projectId != claim.projectId || project.classId != claim.classId) {
            revert ClaimMismatch(claim.classId, claim.projectId, claim.siteId);
        }
        if (msg.sender == verifier || msg.sender == project.owner) {
            revert SamePartyTwice(msg.sender);
        }
        if (verifier == project.owner) revert SamePartyTwice(verifier);

        if (!Signature.isOf(verifier, hashClaim(claim), signature)) {
            revert BadVerifierSignature(verifier);
        }
    }

    /// @dev Counts the claim against the class's cap and the site's time, and opens the batch.
    function _enter(Claim memory claim) private returns (uint256 batchId, uint64 buffered) {
        Class storage class = _book.classes[claim.classId];
        uint256 issued = uint256(class.issued) + claim.amount;
        if (issued > class.cap) revert CapExceeded(claim.classId, class.cap, issued);
        class.issued = uint64(issued);
        buffered = uint64(uint256(claim.amount) * class.bufferBps / 10_000);

        uint32 gapStart = _takeTime(claim);
        batchId = batchIdOf(claim.siteId, ++_book.sites[claim.siteId].batches);
        _book.batchOfKey[claim.key] = batchId;
        _book.batchOfEvidenceRoot[claim.evidenceRoot] = batchId;
        _book.batches[batchId] = BatchWords.open(
            uint40(claim.amount), claim.periodStart, claim.periodEnd, gapStart, claim.expiresAt
        );
    }

    /// @dev Every batch owns the free time before it, back to `gapStart`. A new period comes at the
    /// end of the site's time; a backfill takes from the gap of the batch that follows it, and owns
    /// what is free before itself.
    function _takeTime(Claim memory claim) private returns (uint32 gapStart) {
        if (claim.backfillBefore == 0) {
            Site storage site = _book.sites[claim.siteId];
            gapStart = site.mintedUntil;
            if (claim.periodStart < gapStart) {
                revert PeriodAlreadyIssued(claim.siteId, claim.periodStart, gapStart);
            }
            site.mintedUntil = claim.periodEnd;
        } else {
            uint256 nextId = batchIdOf(claim.siteId, claim.backfillBefore);
            BatchWord next = _book.batches[nextId];
            if (next.status() == Status.None) revert UnknownBatch(nextId);
            gapStart = next.gapStart();
            if (claim.periodStart < gapStart || claim.periodEnd > next.periodStart()) {
                revert PeriodNotFree(claim.siteId, claim.periodStart, gapStart, next.periodStart());
            }
            _book.batches[nextId] = next.withGapStart(claim.periodEnd);
        }
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc ICarbonCredit
    function batchOf(uint256 batchId) external view returns (Batch memory) {
        BatchWord batch = _book.batches[batchId];
        return Batch(
            batch.issued(),
            batch.retired(),
            batch.cancelled(),
            batch.periodStart(),
            batch.periodEnd(),
            batch.gapStart(),
            batch.expiresAt()
        );
    }

    /// @inheritdoc ICarbonCredit
    function batchOfKey(bytes32 key) external view returns (uint256 batchId) {
        return _book.batchOfKey[key];
    }

    /// @inheritdoc ICarbonCredit
    function batchOfEvidenceRoot(bytes32 evidenceRoot) external view returns (uint256 batchId) {
        return _book.batchOfEvidenceRoot[evidenceRoot];
    }

    /// @inheritdoc ICarbonCredit
    function hashClaim(Claim memory claim) public view returns (bytes32 digest) {
        return _hashTypedDataV4(SignedMessages.hashClaim(claim));
    }

    /// @inheritdoc ICarbonCredit
    function issuerRole(uint32 classId) public pure returns (bytes32) {
        return keccak256(abi.encode("ISSUER_ROLE", classId));
    }

    /// @inheritdoc ICarbonCredit
    function verifierRole(uint32 classId) public pure returns (bytes32) {
        return keccak256(abi.encode("VERIFIER_ROLE", classId));
    }

    /// @inheritdoc ICarbonCredit
    function batchIdOf(uint32 siteId, uint32 ordinal) public pure returns (uint256 batchId) {
        return uint256(siteId) << 32 | ordinal;
    }
}
