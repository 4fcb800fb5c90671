// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {CreditRegistry} from "./CreditRegistry.sol";
import {ICarbonCredit} from "./interfaces/ICarbonCredit.sol";

/// @title Carbon credits of a zero-carbon park
/// @dev Assumed: the admin is a timelock or a multisignature account and grants roles with care;
/// the issuer and the verifiers of a class are independent of each other; block time is good to
/// some seconds.
///
/// Promised: nobody issues alone, and nobody without a role of the class. A key, an evidence root
/// and a second of a site's time are issued upon once. What is issued of a batch is held, retired
/// or cancelled, to the kilogram. Only the holder retires, cancels or (with the operators it
/// approved) transfers its units. No pause stops a retirement. The log of ledger events is complete
/// and in order if it yields `logHead()`.
///
/// The admin cannot issue by itself; it can grant roles, in public, to parties that then can.
contract CarbonCredit is CreditRegistry, ERC1155, EIP712 {
    /// @dev One slot for all that a transfer or a retirement needs to know of a batch; 2^56 kg is
    /// 72 trillion tonnes.
    struct BatchSlot {
        uint56 issued;
        uint56 retired;
        uint56 cancelled;
        uint32 periodStart;
        uint32 periodEnd;
        Status status;
    }

    // -------------------------------------------------------------- constants

    bytes32 public constant PAUSER_ROLE = keccak256("PAUSER_ROLE");
    bytes32 public constant SUSPENDER_ROLE = keccak256("SUSPENDER_ROLE");

    bytes32 public constant CLAIM_TYPEHASH = keccak256(
        "Claim(bytes32 key,uint32 classId,uint32 projectId,uint32 siteId,uint64 amount,"
        "uint32 periodStart,uint32 periodEnd,bytes32 evidenceRoot,uint64 evidenceTotal,"
        "bytes32 manifestHash,bytes32 methodologyHash,address recipient,uint64 deadline)"
    );

    /// @notice The longest text in an event, in bytes.
    uint256 public constant MAX_TEXT = 1024;

    // ---------------------------------------------------------------- storage

    mapping(uint256 batchId => BatchSlot) private _batches;

    /// @inheritdoc ICarbonCredit
    mapping(bytes32 key => uint256 batchId) public batchOfKey;

    /// @inheritdoc ICarbonCredit
    mapping(bytes32 evidenceRoot => uint256 batchId) public batchOfEvidenceRoot;

    // ------------------------------------------------------------ constructor

    /// @param admin the one account that may grant roles, unpause and lift suspensions
    /// @param adminDelay how long a change of the admin waits, in seconds
    constructor(address admin, uint48 adminDelay)
        ERC1155("")
        EIP712("Truetonne CarbonCredit", "1")
        AccessControlDefaultAdminRules(adminDelay, admin)
    {}

    // --------------------------------------------------------------- issuance

    /// @inheritdoc ICarbonCredit
    function issue(Claim calldata claim, address verifier, bytes calldata signature)
        external
        returns (uint256 batchId)
    {
        _checkClaim(claim);
        _checkParties(claim, verifier, signature);

        batchId = _book(claim);

        (uint64 seq, bytes32 head) = _seal(
            keccak256(
                abi.encode(
                    Issued.selector,
                    claim.key,
                    batchId,
                    claim.recipient,
                    claim,
                    msg.sender,
                    verifier
                )
            )
        );
        emit Issued(claim.key, batchId, claim.recipient, claim, msg.sender, verifier, seq, head);

        _mint(claim.recipient, batchId, claim.amount, "");
    }

    /// @dev What can be said of a claim without asking who brings it. The key and the root come
    /// first, so that a repetition of an issuance that went through is told so, whatever else has
    /// changed since.
    function _checkClaim(Claim calldata claim) private view {
        if (claim.key == 0) revert EmptyKey();
        if (claim.evidenceRoot == 0) revert EmptyEvidenceRoot();
        if (batchOfKey[claim.key] != 0) revert KeyUsed(claim.key);
        if (batchOfEvidenceRoot[claim.evidenceRoot] != 0) {
            revert EvidenceRootUsed(claim.evidenceRoot);
        }
        if (claim.amount == 0) revert ZeroAmount();
        if (claim.amount > type(uint56).max) revert AmountTooLarge(claim.amount);
        if (claim.amount > claim.evidenceTotal) {
            revert AmountAboveEvidence(claim.amount, claim.evidenceTotal);
        }
        if (claim.periodStart >= claim.periodEnd || claim.periodEnd > block.timestamp) {
            revert BadPeriod(claim.periodStart, claim.periodEnd);
        }
        if (claim.deadline < block.timestamp) revert ClaimExpired(claim.deadline);
    }

    /// @dev Three different parties: the issuer sends, the verifier has signed, the owner of the
    /// project does neither.
    function _checkParties(Claim calldata claim, address verifier, bytes calldata signature)
        private
        view
    {
        _checkRole(issuerRole(claim.classId));
        if (!hasRole(verifierRole(claim.classId), verifier)) {
            revert NotAVerifier(verifier, claim.classId);
        }

        Project memory project = _projects[claim.projectId];
        if (_sites[claim.siteId].projectId == 0) revert UnknownSite(claim.siteId);
        if (_sites[claim.siteId].projectId != claim.projectId || project.classId != claim.classId) {
            revert ClaimMismatch(claim.classId, claim.projectId, claim.siteId);
        }
        if (msg.sender == verifier || msg.sender == project.owner) {
            revert SamePartyTwice(msg.sender);
        }
        if (verifier == project.owner) revert SamePartyTwice(verifier);

        if (!SignatureChecker.isValidSignatureNowCalldata(verifier, hashClaim(claim), signature)) {
            revert BadVerifierSignature(verifier);
        }
    }

    /// @dev Counts the claim against the site's time and the class's cap, and opens the batch.
    function _book(Claim calldata claim) private returns (uint256 batchId) {
        Site storage site = _sites[claim.siteId];
        if (claim.periodStart < site.mintedUntil) {
            revert PeriodAlreadyIssued(claim.siteId, claim.periodStart, site.mintedUntil);
        }
        Class storage class = _classes[claim.classId];
        uint256 issued = uint256(class.issued) + claim.amount;
        if (issued > class.cap) revert CapExceeded(claim.classId, class.cap, issued);

        batchId = batchIdOf(claim.siteId, ++site.batches);
        site.mintedUntil = claim.periodEnd;
        class.issued = uint64(issued);
        batchOfKey[claim.key] = batchId;
        batchOfEvidenceRoot[claim.evidenceRoot] = batchId;
        _batches[batchId] = BatchSlot({
            issued: uint56(claim.amount),
            retired: 0,
            cancelled: 0,
            periodStart: claim.periodStart,
            periodEnd: claim.periodEnd,
            status: Status.Active
        });
    }

    // ----------------------------------------------- retirement, cancellation

    /// @inheritdoc ICarbonCredit
    function retire(bytes32 key, uint256 batchId, uint64 amount, Retirement calldata details)
        external
        returns (uint64 retirementId)
    {
        if (key == 0) revert EmptyKey();
        if (amount == 0) revert ZeroAmount();
        _checkRetirement(details);

        _burn(msg.sender, batchId, amount);
        BatchSlot storage batch = _batches[batchId];
        uint64 retiredTotal = batch.retired + amount;
        batch.retired = uint56(retiredTotal);
        retirementId = ++_counters.retirements;

        uint64 first = retiredTotal - amount + 1;
        (uint64 seq, bytes32 head) = _seal(
            keccak256(
                abi.encode(
                    Retired.selector,
                    key,
                    batchId,
                    msg.sender,
                    retirementId,
                    first,
                    amount,
                    retiredTotal,
                    details
                )
            )
        );
        emit Retired(
            key, batchId, msg.sender, retirementId, first, amount, retiredTotal, details, seq, head
        );
    }

    /// @inheritdoc ICarbonCredit
    function cancel(bytes32 key, uint256 batchId, uint64 amount, string calldata reason) external {
        if (key == 0) revert EmptyKey();
        if (amount == 0) revert ZeroAmount();
        _requireShort(reason, MAX_TEXT);

        _burn(msg.sender, batchId, amount);
        BatchSlot storage batch = _batches[batchId];
        uint64 cancelledTotal = batch.cancelled + amount;
        batch.cancelled = uint56(cancelledTotal);

        uint64 first = batch.issued - cancelledTotal + 1;
        (uint64 seq, bytes32 head) = _seal(
            keccak256(
                abi.encode(
                    Cancelled.selector,
                    key,
                    batchId,
                    msg.sender,
                    first,
                    amount,
                    cancelledTotal,
                    reason
                )
            )
        );
        emit Cancelled(key, batchId, msg.sender, first, amount, cancelledTotal, reason, seq, head);
    }

    function _checkRetirement(Retirement calldata details) private pure {
        _requireShort(details.beneficiary, MAX_TEXT);
        _requireShort(details.reason, MAX_TEXT);
        if (details.consumptionStart > details.consumptionEnd) {
            revert BadPeriod(details.consumptionStart, details.consumptionEnd);
        }
        bytes2 country = details.country;
        if (country != 0 && !(_isCapital(country[0]) && _isCapital(country[1]))) {
            revert BadCountry(country);
        }
    }

    // -------------------------------------------------------------- oversight

    /// @inheritdoc ICarbonCredit
    function suspend(uint256 batchId) external onlyRole(SUSPENDER_ROLE) {
        _requireActive(batchId);
        _setStatus(batchId, Status.Active, Status.Suspended);
    }

    /// @inheritdoc ICarbonCredit
    function unsuspend(uint256 batchId) external onlyRole(DEFAULT_ADMIN_ROLE) {
        Status status = _batches[batchId].status;
        if (status != Status.Suspended) revert NotSuspended(batchId, status);
        _setStatus(batchId, Status.Suspended, Status.Active);
    }

    /// @inheritdoc ICarbonCredit
    function pause() external onlyRole(PAUSER_ROLE) {
        if (paused()) revert EnforcedPause();
        _counters.pausedAt = uint32(block.timestamp);
        emit Paused(msg.sender);
    }

    /// @inheritdoc ICarbonCredit
    function unpause() external onlyRole(DEFAULT_ADMIN_ROLE) {
        if (!paused()) revert ExpectedPause();
        _counters.pausedAt = 0;
        emit Unpaused(msg.sender);
    }

    function _setStatus(uint256 batchId, Status oldStatus, Status newStatus) private {
        _batches[batchId].status = newStatus;

        (uint64 seq, bytes32 head) =
            _seal(keccak256(abi.encode(StatusChanged.selector, batchId, oldStatus, newStatus)));
        emit StatusChanged(batchId, oldStatus, newStatus, seq, head);
    }

    // ----------------------------------------------------- the one hook, seal

    /// @dev Mints, burns and transfers all pass here, singly or in batches, and nowhere else is a
    /// status checked. A burn is a retirement or a cancellation by the holder: a pause does not
    /// stop it.
    function _update(address from, address to, uint256[] memory ids, uint256[] memory values)
        internal
        override
    {
        if (to != address(0) && paused()) revert EnforcedPause();
        for (uint256 i; i < ids.length; ++i) {
            _requireActive(ids[i]);
        }
        super._update(from, to, ids, values);
    }

    function _requireActive(uint256 batchId) private view {
        Status status = _batches[batchId].status;
        if (status == Status.None) revert UnknownBatch(batchId);
        if (status != Status.Active) revert NotActive(batchId, status);
    }

    function _isCapital(bytes1 letter) private pure returns (bool) {
        return letter >= "A" && letter <= "Z";
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc ICarbonCredit
    function batchOf(uint256 batchId) external view returns (Batch memory) {
        BatchSlot memory slot = _batches[batchId];
        return Batch(slot.issued, slot.retired, slot.cancelled, slot.periodStart, slot.periodEnd);
    }

    /// @inheritdoc ICarbonCredit
    function statusOf(uint256 batchId) external view returns (Status) {
        return _batches[batchId].status;
    }

    /// @inheritdoc ICarbonCredit
    function totalSupply(uint256 batchId) external view returns (uint256) {
        BatchSlot storage batch = _batches[batchId];
        return batch.issued - batch.retired - batch.cancelled;
    }

    /// @inheritdoc ICarbonCredit
    function retirementCount() external view returns (uint64) {
        return _counters.retirements;
    }

    /// @inheritdoc ICarbonCredit
    function paused() public view returns (bool) {
        return _counters.pausedAt != 0;
    }

    /// @inheritdoc ICarbonCredit
    function hashClaim(Claim calldata claim) public view returns (bytes32 digest) {
        return _hashTypedDataV4(keccak256(abi.encode(CLAIM_TYPEHASH, claim)));
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

    /// @notice ERC-1155 metadata of every batch: percent-encoded JSON, with `{id}` for the batch.
    function uri(uint256) public pure override returns (string memory) {
        return "data:application/json,%7B%22name%22:%22Carbon%20credit%20batch%20{id}%22,"
            "%22decimals%22:3,%22properties%22:%7B%22unit%22:%22kg%20CO2e%22%7D%7D";
    }

    /// @inheritdoc ICarbonCredit
    function name() external pure returns (string memory) {
        return "Truetonne Carbon Credit";
    }

    /// @inheritdoc ICarbonCredit
    function symbol() external pure returns (string memory) {
        return "TTC";
    }

    /// @inheritdoc ICarbonCredit
    function decimals() external pure returns (uint8) {
        return 3;
    }

    /// @notice ERC-165: ERC-1155 with metadata, access control, and this ledger's own interface.
    function supportsInterface(bytes4 interfaceId)
        public
        view
        override(ERC1155, AccessControlDefaultAdminRules)
        returns (bool)
    {
        return
            interfaceId == type(ICarbonCredit).interfaceId || super.supportsInterface(interfaceId);
    }
}
