// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Carbon credits of a zero-carbon park
/// @notice One ERC-1155 id is one batch: one issuance, of one site, for one monitoring period. One unit is 1 kg CO2e.
interface ICarbonCredit {
    // ------------------------------------------------------------------ types

    enum Status {
        None,
        Active,
        Suspended,
        Disputed,
        Cancelled
    }

    /// @notice What a verifier signs (EIP-712) and an issuer submits.
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

    struct Batch {
        uint64 issued;
        uint64 retired;
        uint64 cancelled;
        uint32 periodStart;
        uint32 periodEnd;
    }

    /// @notice Who benefits from a retirement, and why. Text lives in the event alone.
    struct Retirement {
        string beneficiary;
        string reason;
        bytes2 country;
        uint32 consumptionStart;
        uint32 consumptionEnd;
        bytes32 documentHash;
    }

    // ----------------------------------------------------------------- events

    event ClassRegistered(uint32 indexed classId, string code, bytes32 methodologyHash, uint64 cap, uint64 seq, bytes32 head);
    event ClassCapChanged(uint32 indexed classId, uint64 oldCap, uint64 newCap, uint64 seq, bytes32 head);
    event ProjectRegistered(uint32 indexed projectId, uint32 indexed classId, address indexed owner, string code, uint64 seq, bytes32 head);
    event SiteRegistered(uint32 indexed siteId, uint32 indexed projectId, string code, uint64 seq, bytes32 head);
    event Issued(bytes32 indexed key, uint256 indexed batchId, address indexed recipient, Claim claim, address issuer, address verifier, uint64 seq, bytes32 head);
    event Retired(bytes32 indexed key, uint256 indexed batchId, address indexed holder, uint64 retirementId, uint64 firstSerial, uint64 amount, uint64 retiredTotal, Retirement details, uint64 seq, bytes32 head);
    event Cancelled(bytes32 indexed key, uint256 indexed batchId, address indexed holder, uint64 firstSerial, uint64 amount, uint64 cancelledTotal, string reason, uint64 seq, bytes32 head);
    event StatusChanged(uint256 indexed batchId, Status oldStatus, Status newStatus, uint64 seq, bytes32 head);

    // ----------------------------------------------------------------- errors

    error UnknownClass(uint32 classId);
    error UnknownProject(uint32 projectId);
    error UnknownSite(uint32 siteId);
    error UnknownBatch(uint256 batchId);
    error CodeTaken(string code);
    error EmptyCode();
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
    error AmountTooLarge(uint256 amount);

    // -------------------------------------------------------------- functions

    function registerClass(string calldata code, bytes32 methodologyHash, uint64 cap) external returns (uint32 classId);
    function setClassCap(uint32 classId, uint64 cap) external;
    function registerProject(uint32 classId, address owner, string calldata code) external returns (uint32 projectId);
    function registerSite(uint32 projectId, string calldata code) external returns (uint32 siteId);
    function issue(Claim calldata claim, address verifier, bytes calldata signature) external returns (uint256 batchId);
    function retire(bytes32 key, uint256 batchId, uint64 amount, Retirement calldata details) external returns (uint64 retirementId);
    function cancel(bytes32 key, uint256 batchId, uint64 amount, string calldata reason) external;
    function suspend(uint256 batchId) external;
    function unsuspend(uint256 batchId) external;
    function pause() external;
    function unpause() external;

    function batchOf(uint256 batchId) external view returns (Batch memory);
    function statusOf(uint256 batchId) external view returns (Status);
    function evidenceRootOf(uint256 batchId) external view returns (bytes32);
    function batchOfKey(bytes32 key) external view returns (uint256 batchId);
    function batchOfEvidenceRoot(bytes32 evidenceRoot) external view returns (uint256 batchId);
    function mintedUntil(uint32 siteId) external view returns (uint32);
    function logHead() external view returns (uint64 seq, bytes32 head);
    function hashClaim(Claim calldata claim) external view returns (bytes32 digest);
    function issuerRole(uint32 classId) external pure returns (bytes32);
    function verifierRole(uint32 classId) external pure returns (bytes32);
    function batchIdOf(uint32 siteId, uint32 ordinal) external pure returns (uint256 batchId);
}
