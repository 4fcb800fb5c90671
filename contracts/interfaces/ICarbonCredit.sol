// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

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
/// The numbers CC-nn are the requirements of `contracts/SPEC.md`.
interface ICarbonCredit {
    // ------------------------------------------------------------------ types

    /// @notice The state of a whole batch. `None` means that the id was never issued.
    enum Status {
        None,
        Active,
        Suspended,
        Disputed,
        Cancelled
    }

    /// @notice What a verifier signs (EIP-712) and an issuer submits.
    /// @param key made and stored before anything leaves the issuer's books; names the issuance for
    /// ever
    /// @param classId the class of credits
    /// @param projectId the project, of that class
    /// @param siteId the site, of that project
    /// @param amount what is issued, in kg
    /// @param periodStart the first second of the monitoring period
    /// @param periodEnd the first second after the monitoring period
    /// @param evidenceRoot the Merkle root over every reading of the period
    /// @param evidenceTotal the reductions that the evidence supports, in kg, the carry of earlier
    /// periods included
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
        bytes32 evidenceRoot;
        uint64 evidenceTotal;
        bytes32 manifestHash;
        bytes32 methodologyHash;
        address recipient;
        uint64 deadline;
    }

    /// @notice The totals of a batch, in kg, and its monitoring period.
    struct Batch {
        uint64 issued;
        uint64 retired;
        uint64 cancelled;
        uint32 periodStart;
        uint32 periodEnd;
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

    /// @notice A class of credits: how much may ever be issued in it, and how much has been, in kg.
    struct Class {
        uint64 cap;
        uint64 issued;
    }

    /// @notice A project: who owns it and the class that its credits belong to.
    struct Project {
        address owner;
        uint32 classId;
    }

    /// @notice A site: its project, the end of the last period issued, and how many batches it has.
    struct Site {
        uint32 projectId;
        uint32 mintedUntil;
        uint32 batches;
    }

    // ----------------------------------------------------------------- events

    /// @notice A class of credits was registered.
    event ClassRegistered(
        uint32 indexed classId,
        string code,
        bytes32 methodologyHash,
        uint64 cap,
        uint64 seq,
        bytes32 head
    );

    /// @notice The cap of a class was changed.
    event ClassCapChanged(
        uint32 indexed classId, uint64 oldCap, uint64 newCap, uint64 seq, bytes32 head
    );

    /// @notice A project was registered in a class.
    event ProjectRegistered(
        uint32 indexed projectId,
        uint32 indexed classId,
        address indexed owner,
        string code,
        uint64 seq,
        bytes32 head
    );

    /// @notice A site was registered in a project.
    event SiteRegistered(
        uint32 indexed siteId, uint32 indexed projectId, string code, uint64 seq, bytes32 head
    );

    /// @notice A batch was issued. In the transaction's log the mint (`TransferSingle`) comes right
    /// after it.
    event Issued(
        bytes32 indexed key,
        uint256 indexed batchId,
        address indexed recipient,
        Claim claim,
        address issuer,
        address verifier,
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

    /// @notice The status of a batch was changed.
    event StatusChanged(
        uint256 indexed batchId, Status oldStatus, Status newStatus, uint64 seq, bytes32 head
    );

    /// @notice Issuance and transfers were paused.
    event Paused(address account);

    /// @notice Issuance and transfers were resumed.
    event Unpaused(address account);

    // ----------------------------------------------------------------- errors

    error UnknownClass(uint32 classId);
    error UnknownProject(uint32 projectId);
    error UnknownSite(uint32 siteId);
    error UnknownBatch(uint256 batchId);
    error CodeTaken(string code);
    error EmptyCode();
    error TextTooLong(uint256 length, uint256 limit);
    error ZeroOwner();
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
    error BadPeriod(uint32 periodStart, uint32 periodEnd);
    error PeriodAlreadyIssued(uint32 siteId, uint32 periodStart, uint32 mintedUntil);
    error AmountAboveEvidence(uint64 amount, uint64 evidenceTotal);
    error CapExceeded(uint32 classId, uint64 cap, uint256 wanted);
    error NotActive(uint256 batchId, Status status);
    error NotSuspended(uint256 batchId, Status status);
    error AmountTooLarge(uint256 amount);
    error EnforcedPause();
    error ExpectedPause();

    // --------------------------------------------------------------- registry

    /// @notice Registers a class of credits.
    /// @dev Requirements:
    /// - the caller is a registrar;
    /// - the code has 1 to 50 bytes and no other class has it.
    /// @param code the name of the class in our books
    /// @param methodologyHash keccak-256 of the name and version of the methodology; for readers,
    /// kept in the event
    /// @param cap how much may ever be issued, in kg; zero means nothing at all
    /// @return classId the new class, counted from 1
    function registerClass(string calldata code, bytes32 methodologyHash, uint64 cap)
        external
        returns (uint32 classId);

    /// @notice Changes the cap of a class. A cap below what is issued stops further issuance and
    /// changes nothing else.
    /// @dev Requirements:
    /// - the caller is a registrar;
    /// - the class is registered.
    function setClassCap(uint32 classId, uint64 cap) external;

    /// @notice Registers a project in a class.
    /// @dev Requirements:
    /// - the caller is a registrar;
    /// - the class is registered and the owner is not zero;
    /// - the code has 1 to 50 bytes and no other project has it.
    /// @return projectId the new project, counted from 1
    function registerProject(uint32 classId, address owner, string calldata code)
        external
        returns (uint32 projectId);

    /// @notice Registers a site in a project.
    /// @dev Requirements:
    /// - the caller is a registrar;
    /// - the project is registered;
    /// - the code has 1 to 50 bytes and no other site has it.
    /// @return siteId the new site, counted from 1
    function registerSite(uint32 projectId, string calldata code) external returns (uint32 siteId);

    // --------------------------------------------------------------- issuance

    /// @notice Issues a batch: the issuer sends what a verifier has signed, and the recipient
    /// receives the units.
    /// @dev Requirements:
    /// - issuance is not paused;
    /// - the key and the evidence root are not zero and were never used before, also by a batch
    ///   since cancelled;
    /// - the amount is not zero, not above the evidence's total and below 2^56;
    /// - the period is not empty and ended no later than now;
    /// - the deadline is not past;
    /// - the caller holds the issuer role of the class and the verifier holds its verifier role;
    /// - caller, verifier and project owner are three different parties;
    /// - the signature over `hashClaim(claim)` is the verifier's, by ECDSA or by ERC-1271;
    /// - the site is of the claim's project and the project of the claim's class;
    /// - the period starts no earlier than the end of the site's last period;
    /// - what is issued in the class stays within its cap;
    /// - a recipient that is a contract accepts the units.
    /// @param claim what is issued, and on what evidence
    /// @param verifier whose signature it is
    /// @param signature the verifier's signature
    /// @return batchId the new batch, `siteId << 32 | ordinal` with the site's ordinals counted
    /// from 1
    function issue(Claim calldata claim, address verifier, bytes calldata signature)
        external
        returns (uint256 batchId);

    // ----------------------------------------------- retirement, cancellation

    /// @notice Retires units of the caller for good, from the lowest serial that is left. No pause
    /// stops it.
    /// @dev Requirements:
    /// - the batch is active;
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

    /// @notice Cancels units of the caller for good, from the highest serial that is left. No pause
    /// stops it.
    /// @dev Requirements:
    /// - the batch is active;
    /// - the key and the amount are not zero, and the caller holds the amount;
    /// - the reason has at most 1,024 bytes.
    ///
    /// The key is the caller's own name for the cancellation: it is published, not checked for
    /// repetition.
    function cancel(bytes32 key, uint256 batchId, uint64 amount, string calldata reason) external;

    // -------------------------------------------------------------- oversight

    /// @notice Suspends a batch: its units cannot be transferred, retired or cancelled.
    /// @dev Requirements:
    /// - the caller is a suspender;
    /// - the batch is active.
    function suspend(uint256 batchId) external;

    /// @notice Lifts the suspension of a batch.
    /// @dev Requirements:
    /// - the caller is the admin;
    /// - the batch is suspended.
    function unsuspend(uint256 batchId) external;

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

    // ------------------------------------------------------------------ views

    /// @notice The totals and the period of a batch; all zero for an id that was never issued.
    function batchOf(uint256 batchId) external view returns (Batch memory);

    /// @notice The status of a batch; `None` for an id that was never issued.
    function statusOf(uint256 batchId) external view returns (Status);

    /// @notice The units of a batch that are neither retired nor cancelled: the sum of all its
    /// balances.
    function totalSupply(uint256 batchId) external view returns (uint256);

    /// @notice The batch that was issued under a key, or zero.
    function batchOfKey(bytes32 key) external view returns (uint256 batchId);

    /// @notice The batch that was issued on an evidence root, or zero.
    function batchOfEvidenceRoot(bytes32 evidenceRoot) external view returns (uint256 batchId);

    /// @notice The end of the last period that was issued for a site, or zero.
    function mintedUntil(uint32 siteId) external view returns (uint32);

    /// @notice The cap of a class and what is issued in it; all zero for one that was never
    /// registered.
    function classOf(uint32 classId) external view returns (Class memory);

    /// @notice The owner and the class of a project; all zero for one that was never registered.
    function projectOf(uint32 projectId) external view returns (Project memory);

    /// @notice The project, the last period's end and the number of batches of a site; all zero
    /// when unregistered.
    function siteOf(uint32 siteId) external view returns (Site memory);

    /// @notice The class that was registered under a code, or zero.
    function classOfCode(string calldata code) external view returns (uint32 classId);

    /// @notice The project that was registered under a code, or zero.
    function projectOfCode(string calldata code) external view returns (uint32 projectId);

    /// @notice The site that was registered under a code, or zero.
    function siteOfCode(string calldata code) external view returns (uint32 siteId);

    /// @notice How many ledger events there are, and the hash that seals them all.
    function logHead() external view returns (uint64 seq, bytes32 head);

    /// @notice How many retirements there are.
    function retirementCount() external view returns (uint64);

    /// @notice Whether issuance and transfers are paused.
    function paused() external view returns (bool);

    /// @notice The EIP-712 digest that a verifier signs.
    function hashClaim(Claim calldata claim) external view returns (bytes32 digest);

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
