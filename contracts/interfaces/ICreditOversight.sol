// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What may stop a batch of carbon credits, and what puts it right
/// @notice The states of a batch:
///
/// ```
/// active -> suspended -> active                        suspend, reinstate
/// active, suspended, expired -> disputed -> active     proveOverlap or proposeInvalidation, reinstate
/// disputed -> cancelled                                executeInvalidation
/// active -> expired                                    expire
/// ```
///
/// Only units of an active batch move. Nothing here takes or moves a unit of a holder: an
/// invalidation freezes what is not retired where it lies, and what is retired becomes a deficit
/// that units of the buffer are retired against.
/// @dev Every event here but `Paused` and `Unpaused` is part of the sealed log, see `ICarbonCredit`.
interface ICreditOversight {
    // ------------------------------------------------------------------ types

    /// @notice The state of a whole batch. `None` means that the id was never issued.
    enum Status {
        None,
        Active,
        Suspended,
        Disputed,
        Cancelled,
        Expired
    }

    /// @notice A reading as it stands in the evidence of a batch: one leaf of its Merkle tree.
    /// @param meter keccak-256 of the meter's serial
    /// @param start the first second of the interval
    /// @param end the first second after it
    /// @param digits the value is `digits / 10^scale`
    /// @param scale the decimals of the value
    /// @param kind 1: mean power in kW, 2: energy in kWh
    /// @param quality what became of the reading: 100 to 199, it counts; else it was left out, and
    /// why
    /// @param text keccak-256 of the number's text as received
    struct Reading {
        bytes32 meter;
        uint64 start;
        uint64 end;
        int256 digits;
        uint8 scale;
        uint8 kind;
        uint16 quality;
        bytes32 text;
    }

    /// @notice A reading with what shows that it is part of the evidence of a batch.
    /// @param evidenceRoot the root that the batch was issued on
    /// @param reading the reading
    /// @param proof the siblings from the leaf up
    struct ProvenReading {
        bytes32 evidenceRoot;
        Reading reading;
        bytes32[] proof;
    }

    /// @notice A proposal to invalidate a batch.
    /// @param proposer who proposed it; another account must execute it
    /// @param executableAt the first second at which it may be executed
    struct Invalidation {
        address proposer;
        uint64 executableAt;
    }

    // ----------------------------------------------------------------- events

    /// @notice The status of a batch was changed.
    event StatusChanged(
        uint256 indexed batchId, Status oldStatus, Status newStatus, uint64 seq, bytes32 head
    );

    /// @notice A reading of one meter was shown to count in two batches. The changes of their
    /// status come right after it.
    /// @param first the reading in the first batch
    /// @param second the reading in the second one, of the same meter and overlapping in time
    event OverlapProven(
        uint256 indexed firstBatchId,
        uint256 indexed secondBatchId,
        address indexed challenger,
        Reading first,
        Reading second,
        uint64 seq,
        bytes32 head
    );

    /// @notice The invalidation of a batch was proposed. Unless the batch was disputed already, the
    /// change of its status comes right after it.
    event InvalidationProposed(
        uint256 indexed batchId,
        address indexed proposer,
        uint64 executableAt,
        string reason,
        uint64 seq,
        bytes32 head
    );

    /// @notice The proposal to invalidate a batch was dropped. The change of the batch's status
    /// comes right after it.
    event InvalidationDropped(uint256 indexed batchId, uint64 seq, bytes32 head);

    /// @notice A batch was invalidated. The change of its status comes right after it.
    /// @param frozen what is held of the batch, and never moves again, in kg
    /// @param deficit what of the batch was retired, and is to be replaced, in kg
    event Invalidated(
        uint256 indexed batchId,
        address indexed executor,
        uint64 frozen,
        uint64 deficit,
        uint64 seq,
        bytes32 head
    );

    /// @notice Issuance and transfers were paused.
    event Paused(address account);

    /// @notice Issuance and transfers were resumed.
    event Unpaused(address account);

    // ----------------------------------------------------------------- errors

    error UnknownBatch(uint256 batchId);
    error NotActive(uint256 batchId, Status status);
    error NotStopped(uint256 batchId, Status status);
    error BatchExpired(uint256 batchId, uint32 expiresAt);
    error NotExpired(uint256 batchId, uint32 expiresAt);
    error AlreadyCancelled(uint256 batchId);
    error UnknownEvidenceRoot(bytes32 evidenceRoot);
    error BadReadingProof(bytes32 evidenceRoot);
    error SameBatch(uint256 batchId);
    error NoOverlap(bytes32 firstMeter, bytes32 secondMeter);
    error ReadingNotCounted(uint16 quality);
    error OverlapAlreadyProven(uint256 firstBatchId, uint256 secondBatchId);
    error InvalidationPending(uint256 batchId, address proposer);
    error NoInvalidation(uint256 batchId);
    error InvalidationTooEarly(uint256 batchId, uint64 executableAt);
    error TwoKeysNeeded(address proposer);
    error EnforcedPause();
    error ExpectedPause();

    // ------------------------------------------------ suspension, pause, expiry

    /// @notice Suspends a batch: its units cannot be transferred, retired or cancelled.
    /// @dev Requirements:
    /// - the caller is a suspender;
    /// - the batch is active.
    function suspend(uint256 batchId) external;

    /// @notice Makes a suspended or disputed batch active again, and drops a proposal to
    /// invalidate it.
    /// @dev Requirements:
    /// - the caller is the admin;
    /// - the batch is suspended or disputed.
    function reinstate(uint256 batchId) external;

    /// @notice Records that the time of a batch is over. Its units stopped moving at that time,
    /// recorded or not.
    /// @dev Requirements:
    /// - the batch is active and has a time of expiry that is past.
    function expire(uint256 batchId) external;

    /// @notice Pauses issuance and transfers. Retirement and cancellation by the holder go on.
    /// @dev Requirements:
    /// - the caller is a pauser;
    /// - nothing is paused yet.
    function pause() external;

    /// @notice Resumes issuance and transfers.
    /// @dev Requirements:
    /// - the caller is the admin;
    /// - the contract is paused.
    function unpause() external;

    // --------------------------------------------------- disputes, invalidation

    /// @notice Shows that two batches count the same meter twice: readings of it whose intervals
    /// overlap stand under both their evidence roots. Both batches become disputed. Anyone may.
    /// @dev Requirements:
    /// - both roots were issued upon, in two batches, neither of which is cancelled;
    /// - both proofs lead from their reading to their root;
    /// - the meter is the same, both intervals have a length and overlap, and both readings count;
    /// - no overlap of the same two batches was shown before.
    /// @param first a reading under one batch's root
    /// @param second a reading under the other's
    function proveOverlap(ProvenReading calldata first, ProvenReading calldata second) external;

    /// @notice Proposes to invalidate a batch, which is disputed from now on.
    /// @dev Requirements:
    /// - the caller is a reverser;
    /// - the batch is issued and not cancelled, and no proposal for it is pending;
    /// - the reason has at most 1,024 bytes.
    function proposeInvalidation(uint256 batchId, string calldata reason) external;

    /// @notice Invalidates a batch for good: what is held of it never moves again, and what is
    /// retired becomes its deficit.
    /// @dev Requirements:
    /// - the caller is the admin and not who proposed it;
    /// - a proposal is pending and its delay is over.
    function executeInvalidation(uint256 batchId) external;

    // ------------------------------------------------------------------ views

    /// @notice The status of a batch; `None` for an id that was never issued. An active batch past
    /// its expiry does not move either: see `isTransferable`.
    function statusOf(uint256 batchId) external view returns (Status);

    /// @notice Whether the batch lets its units move: it is active and not expired. A pause, which
    /// is soon over, is another matter: see `paused`.
    function isTransferable(uint256 batchId) external view returns (bool);

    /// @notice The batch whose evidence holds a reading, or zero when the proof does not lead from
    /// it to the root, or nothing was issued on the root.
    function verifyReading(ProvenReading calldata proven) external view returns (uint256 batchId);

    /// @notice The proposal to invalidate a batch that is pending; all zero if there is none.
    function invalidationOf(uint256 batchId) external view returns (Invalidation memory);

    /// @notice What is retired of an invalidated batch and not yet replaced, in kg.
    function deficitOf(uint256 batchId) external view returns (uint64);

    /// @notice Whether an overlap of two batches was shown, in either order.
    function isOverlapProven(uint256 firstBatchId, uint256 secondBatchId)
        external
        view
        returns (bool);

    /// @notice Whether issuance and transfers are paused.
    function paused() external view returns (bool);
}
