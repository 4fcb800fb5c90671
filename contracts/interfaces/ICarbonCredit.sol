// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICreditOversight} from "./ICreditOversight.sol";
import {ICreditRegistry} from "./ICreditRegistry.sol";

/// @title Carbon credits of a zero-carbon park
/// @notice One ERC-1155 id is one batch: one issuance, of one site, for one monitoring period. One
/// unit is 1 kg CO2e.
/// @dev Times are UTC epoch seconds, amounts are kilograms. Inside a batch the units are fungible
/// and carry serial numbers 1..issued: retirements take consecutive serials from the bottom,
/// cancellations from the top, so that every retirement and every cancellation names a run of
/// serials that no other one names, and nothing is stored for it.
///
/// Every ledger event ends in `seq` and `head`, the sealed log. `seq` counts from 1, and
/// - `record = keccak256(abi.encode(topic0, every argument before seq, in declared order))`,
/// - `head = keccak256(abi.encode(previous head, seq, record))`, the first previous head being zero.
///
/// Whoever recomputes `head` from a list of events and finds it equal to `logHead()` knows that the
/// list lacks nothing and is in order. Transfers, approvals, roles and pauses are outside this log.
///
/// The buffer of a class is what this contract itself holds of the class's batches. Nobody can
/// transfer it: it is retired against the deficit of an invalidated batch.
///
/// The numbers CC-nn are the requirements of `contracts/SPEC.md`.
interface ICarbonCredit is ICreditRegistry, ICreditOversight {
    // ------------------------------------------------------------------ types

    /// @notice What a verifier signs (EIP-712) and an issuer submits.
    /// @param key made and stored before anything leaves the issuer's books; names the issuance for
    /// ever
    /// @param classId the class of credits
    /// @param projectId the project, of that class
    /// @param siteId the site, of that project
    /// @param amount what is issued, in kg
    /// @param periodStart the first second of the monitoring period
    /// @param periodEnd the first second after the monitoring period
    /// @param expiresAt the first second at which the units no longer move, or zero for never
    /// @param backfillBefore zero for a period that begins no earlier than the site's last one
    /// ended; else the ordinal of the site's batch that comes next in time, in whose gap before it
    /// the period lies. Once another backfill has taken the end of that gap, it is that one's
    /// @param evidenceRoot the Merkle root over every reading of the period
    /// @param evidenceTotal the reductions of the period, in kg, rounded up: the most that can be
    /// issued from this evidence, since a carry that comes in is under one kilogram
    /// @param manifestHash keccak-256 of the canonical issuance manifest, from which the amount can
    /// be recomputed
    /// @param methodologyHash keccak-256 of the name and version of the methodology
    /// @param recipient who receives the units
    /// @param deadline the last second at which the signature is good
    struct Claim {
        bytes32 key;
        uint32 classId;
        uint32 projectId;
        uint32 siteId;
        uint64 amount;
        uint32 periodStart;
        uint32 periodEnd;
        uint32 expiresAt;
        uint32 backfillBefore;
        bytes32 evidenceRoot;
        uint64 evidenceTotal;
        bytes32 manifestHash;
        bytes32 methodologyHash;
        address recipient;
        uint64 deadline;
    }

    /// @notice The totals of a batch, in kg, and its times.
    /// @param issued what was issued
    /// @param retired what is retired, the lowest serials
    /// @param cancelled what holders cancelled, the highest serials
    /// @param periodStart the first second of the monitoring period
    /// @param periodEnd the first second after it
    /// @param gapStart where the time begins that lies before the period and was never issued upon:
    /// what a backfill may fill ends at `periodStart`
    /// @param expiresAt the first second at which the units no longer move, or zero for never
    struct Batch {
        uint64 issued;
        uint64 retired;
        uint64 cancelled;
        uint32 periodStart;
        uint32 periodEnd;
        uint32 gapStart;
        uint32 expiresAt;
    }

    /// @notice Who benefits from a retirement, and why. Text lives in the event alone.
    /// @param beneficiary on whose behalf the units are retired
    /// @param reason why they are retired
    /// @param country ISO 3166-1 alpha-2 in capitals, or zero when not stated
    /// @param consumptionStart the first second of the consumption that is offset, or zero
    /// @param consumptionEnd the first second after it, or zero
    /// @param documentHash keccak-256 of a document that belongs to the retirement, or zero
    struct Retirement {
        string beneficiary;
        string reason;
        bytes2 country;
        uint32 consumptionStart;
        uint32 consumptionEnd;
        bytes32 documentHash;
    }

    /// @notice What a holder signs (EIP-712) for others to send: a retirement of its units.
    /// @param holder whose units are retired
    /// @param key the holder's own name for the retirement
    /// @param batchId the batch
    /// @param amount what is retired, in kg
    /// @param details who benefits, and why
    /// @param nonce the holder's next one, `nonces(holder)`
    /// @param deadline the last second at which the signature is good
    struct RetirementOrder {
        address holder;
        bytes32 key;
        uint256 batchId;
        uint64 amount;
        Retirement details;
        uint256 nonce;
        uint64 deadline;
    }

    // ----------------------------------------------------------------- events

    /// @notice A batch was issued. In the transaction's log the mints (`TransferSingle`) come right
    /// after it: that to the buffer, if any, and that to the recipient.
    /// @param buffered what of the amount went to the buffer
    event Issued(
        bytes32 indexed key,
        uint256 indexed batchId,
        address indexed recipient,
        Claim claim,
        address issuer,
        address verifier,
        uint64 buffered,
        uint64 seq,
        bytes32 head
    );

    /// @notice Units were retired: the serials `firstSerial` to `firstSerial + amount - 1`. The
    /// burn (`TransferSingle`) comes right before it.
    /// @param retiredTotal what is retired of the batch from now on
    event Retired(
        bytes32 indexed key,
        uint256 indexed batchId,
        address indexed holder,
        uint64 retirementId,
        uint64 firstSerial,
        uint64 amount,
        uint64 retiredTotal,
        Retirement details,
        uint64 seq,
        bytes32 head
    );

    /// @notice Units were cancelled by their holder: the serials `firstSerial` to `firstSerial +
    /// amount - 1`. The burn (`TransferSingle`) comes right before it.
    /// @param cancelledTotal what is cancelled of the batch from now on
    event Cancelled(
        bytes32 indexed key,
        uint256 indexed batchId,
        address indexed holder,
        uint64 firstSerial,
        uint64 amount,
        uint64 cancelledTotal,
        string reason,
        uint64 seq,
        bytes32 head
    );

    /// @notice Units of the buffer were retired for what was retired of an invalidated batch: the
    /// serials `firstSerial` to `firstSerial + amount - 1` of the batch. The burn
    /// (`TransferSingle`) comes right before it.
    /// @param batchId the batch whose units were retired
    /// @param replacedBatchId the invalidated batch
    /// @param retiredTotal what is retired of the batch from now on
    /// @param deficitLeft what of the invalidated batch is still to be replaced
    event Replaced(
        bytes32 indexed key,
        uint256 indexed batchId,
        uint256 indexed replacedBatchId,
        uint64 retirementId,
        uint64 firstSerial,
        uint64 amount,
        uint64 retiredTotal,
        uint64 deficitLeft,
        uint64 seq,
        bytes32 head
    );

    // ----------------------------------------------------------------- errors

    error BadCountry(bytes2 country);
    error ClaimMismatch(uint32 classId, uint32 projectId, uint32 siteId);
    error SamePartyTwice(address party);
    error NotAVerifier(address verifier, uint32 classId);
    error BadVerifierSignature(address verifier);
    error ClaimExpired(uint64 deadline);
    error KeyUsed(bytes32 key);
    error EvidenceRootUsed(bytes32 evidenceRoot);
    error EmptyKey();
    error EmptyEvidenceRoot();
    error ZeroAmount();
    error AmountTooLarge(uint256 amount);
    error AmountAboveEvidence(uint64 amount, uint64 evidenceTotal);
    error BadPeriod(uint32 periodStart, uint32 periodEnd);
    error PeriodAlreadyIssued(uint32 siteId, uint32 periodStart, uint32 mintedUntil);
    error PeriodNotFree(uint32 siteId, uint32 periodStart, uint32 freeFrom, uint32 freeUntil);
    error BadExpiry(uint32 expiresAt);
    error CapExceeded(uint32 classId, uint64 cap, uint256 wanted);
    error BadListLength(uint256 batches, uint256 amounts, uint256 limit);
    error SignatureExpired(uint64 deadline);
    error BadHolderSignature(address holder);
    error ClassDiffers(uint32 classId, uint32 replacedClassId);
    error AboveDeficit(uint64 amount, uint64 deficit);

    // --------------------------------------------------------------- issuance

    /// @notice Issues a batch: the issuer sends what a verifier has signed, and the recipient
    /// receives the units.
    /// @dev Requirements:
    /// - issuance is not paused;
    /// - the key and the evidence root are not zero and were never used before, also by a batch
    ///   since cancelled;
    /// - the amount is not zero, not above the evidence's total and below 2^40;
    /// - the period is not empty and ended no later than now; an expiry, if any, is to come;
    /// - the deadline is not past;
    /// - the caller holds the issuer role of the class and the verifier holds its verifier role;
    /// - caller, verifier and project owner are three different parties;
    /// - the signature over `hashClaim(claim)` is the verifier's, by ECDSA or by ERC-1271;
    /// - the site is of the claim's project and the project of the claim's class;
    /// - the period starts no earlier than the end of the site's last period, or is said to be a
    /// backfill and lies in the gap before the named batch, which was never issued upon;
    /// - what is issued in the class stays within its cap;
    /// - a recipient that is a contract accepts the units.
    ///
    /// The buffer receives its share of the amount, rounded down, and the recipient the rest.
    /// @param claim what is issued, and on what evidence
    /// @param verifier whose signature it is
    /// @param signature the verifier's signature
    /// @return batchId the new batch, `siteId << 32 | ordinal` with the site's ordinals counted
    /// from 1
    function issue(Claim calldata claim, address verifier, bytes calldata signature)
        external
        returns (uint256 batchId);

    // ------------------------------------------------------------- retirement

    /// @notice Retires units of the caller for good, from the lowest serial that is left. No pause
    /// stops it.
    /// @dev Requirements:
    /// - the batch is active and not expired;
    /// - the key and the amount are not zero, and the caller holds the amount;
    /// - beneficiary and reason have at most 1,024 bytes each;
    /// - the country is zero or two capital letters, the consumption does not end before it starts.
    ///
    /// The key is the caller's own name for the retirement: it is published, not checked for
    /// repetition.
    /// @return retirementId the retirement, counted from 1 over all batches
    function retire(bytes32 key, uint256 batchId, uint64 amount, Retirement calldata details)
        external
        returns (uint64 retirementId);

    /// @notice Retires units of several batches for one purpose: all of them or none. Each is a
    /// retirement of its own, numbered in the order given, under the same key.
    /// @dev Requirements:
    /// - there are 1 to 100 batches and as many amounts;
    /// - `retire` would accept each.
    /// @return firstRetirementId the retirement of the first batch
    function retireBatch(
        bytes32 key,
        uint256[] calldata batchIds,
        uint64[] calldata amounts,
        Retirement calldata details
    ) external returns (uint64 firstRetirementId);

    /// @notice Retires units of a holder who has signed for it, so that the holder needs no gas.
    /// Anyone may send it.
    /// @dev Requirements:
    /// - the deadline is not past;
    /// - the nonce is the holder's next one;
    /// - the signature over `hashRetirement(order)` is the holder's, by ECDSA or by ERC-1271;
    /// - `retire` would accept it from the holder.
    function retireFor(RetirementOrder calldata order, bytes calldata signature)
        external
        returns (uint64 retirementId);

    /// @notice Retires units of the buffer for what was retired of an invalidated batch.
    /// @dev Requirements:
    /// - the caller is a reverser;
    /// - the key and the amount are not zero;
    /// - both batches are of one class, and the amount is within the deficit of the invalidated one;
    /// - the batch is active and not expired, and the buffer holds the amount of it.
    /// @param batchId the batch whose units are retired
    /// @param replacedBatchId the invalidated batch
    /// @return retirementId the retirement, counted from 1 over all batches
    function replace(bytes32 key, uint256 batchId, uint256 replacedBatchId, uint64 amount)
        external
        returns (uint64 retirementId);

    // ------------------------------------------------- cancellation, approval

    /// @notice Cancels units of the caller for good, from the highest serial that is left. No pause
    /// stops it.
    /// @dev Requirements:
    /// - the batch is active and not expired;
    /// - the key and the amount are not zero, and the caller holds the amount;
    /// - the reason has at most 1,024 bytes.
    ///
    /// The key is the caller's own name for the cancellation: it is published, not checked for
    /// repetition.
    function cancel(bytes32 key, uint256 batchId, uint64 amount, string calldata reason) external;

    /// @notice Lets an operator move all units of an owner who has signed for it, or no longer, as
    /// `setApprovalForAll` does for the caller.
    /// @dev Requirements:
    /// - the deadline is not past;
    /// - the signature over `hashApproval(...)` with the owner's next nonce is the owner's, by ECDSA
    ///   or by ERC-1271;
    /// - the operator is not zero.
    function permitForAll(
        address owner,
        address operator,
        bool approved,
        uint64 deadline,
        bytes calldata signature
    ) external;

    // ------------------------------------------------------------------ views

    /// @notice The totals and the period of a batch; all zero for an id that was never issued.
    function batchOf(uint256 batchId) external view returns (Batch memory);

    /// @notice The units of a batch that are neither retired nor cancelled: the sum of all its
    /// balances.
    function totalSupply(uint256 batchId) external view returns (uint256);

    /// @notice The batch that was issued under a key, or zero.
    function batchOfKey(bytes32 key) external view returns (uint256 batchId);

    /// @notice The batch that was issued on an evidence root, or zero.
    function batchOfEvidenceRoot(bytes32 evidenceRoot) external view returns (uint256 batchId);

    /// @notice How many retirements there are.
    function retirementCount() external view returns (uint64);

    /// @notice The EIP-712 digest that a verifier signs.
    function hashClaim(Claim calldata claim) external view returns (bytes32 digest);

    /// @notice The EIP-712 digest that a holder signs for `retireFor`.
    function hashRetirement(RetirementOrder calldata order) external view returns (bytes32 digest);

    /// @notice The EIP-712 digest that an owner signs for `permitForAll`. The owner's next nonce is
    /// `nonces(owner)`.
    function hashApproval(
        address owner,
        address operator,
        bool approved,
        uint256 nonce,
        uint64 deadline
    ) external view returns (bytes32 digest);

    /// @notice The role that may issue in a class.
    function issuerRole(uint32 classId) external pure returns (bytes32);

    /// @notice The role whose signature a claim of the class needs.
    function verifierRole(uint32 classId) external pure returns (bytes32);

    /// @notice The batch with an ordinal of a site: `siteId << 32 | ordinal`.
    function batchIdOf(uint32 siteId, uint32 ordinal) external pure returns (uint256 batchId);

    /// @notice The name of the collection.
    function name() external pure returns (string memory);

    /// @notice The symbol of the collection.
    function symbol() external pure returns (string memory);

    /// @notice Three: a unit is a kilogram, shown as tonnes.
    function decimals() external pure returns (uint8);
}
