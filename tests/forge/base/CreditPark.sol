// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {
    IERC1155MetadataURI
} from "@openzeppelin/contracts/token/ERC1155/extensions/IERC1155MetadataURI.sol";

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {ICreditOversight} from "../../../contracts/interfaces/ICreditOversight.sol";
import {Test} from "./Test.sol";

/// @title All that CarbonCredit answers to
interface ICredit is ICarbonCredit, IERC1155MetadataURI, IAccessControl {
    function nonces(address owner) external view returns (uint256);
}

/// @title A park whose credits are issued: the contract, the parties, and a claim that is good
/// @dev The contract is deployed by its name, so that no suite needs compiling anew when it
/// changes. Roles and digests are written out here, not asked of the contract.
abstract contract CreditPark is Test {
    bytes32 internal constant ADMIN = 0;
    bytes32 internal constant REGISTRAR = keccak256("REGISTRAR_ROLE");
    bytes32 internal constant PAUSER = keccak256("PAUSER_ROLE");
    bytes32 internal constant SUSPENDER = keccak256("SUSPENDER_ROLE");
    bytes32 internal constant REVERSER = keccak256("REVERSER_ROLE");

    uint32 internal constant START = 1_704_063_600; // 2024-01-01 in Europe/Paris
    uint32 internal constant MONTH = 30 days;
    uint64 internal constant CAP = 1e12;
    uint64 internal constant AMOUNT = 123_851;

    ICredit internal credit;
    address internal admin;
    address internal registrar;
    address internal issuer;
    address internal verifier;
    uint256 internal verifierKey;
    address internal owner;
    address internal pauser;
    address internal suspender;
    address internal reverser;
    address internal buyer;
    address internal stranger;

    uint256 private _numbers;

    /// @dev Two classes, each with a project and a site; the roles of the first one are given.
    function buildPark() internal {
        vm.warp(START + 12 * MONTH);
        admin = accountOf("admin");
        registrar = accountOf("registrar");
        issuer = accountOf("issuer");
        (verifier, verifierKey) = named("verifier");
        owner = accountOf("owner");
        pauser = accountOf("pauser");
        suspender = accountOf("suspender");
        reverser = accountOf("reverser");
        buyer = accountOf("buyer");
        stranger = accountOf("stranger");
        credit = ICredit(deployCredit());

        vm.startPrank(admin);
        credit.grantRole(REGISTRAR, registrar);
        credit.grantRole(PAUSER, pauser);
        credit.grantRole(SUSPENDER, suspender);
        credit.grantRole(REVERSER, reverser);
        credit.grantRole(issuerOf(1), issuer);
        credit.grantRole(verifierOf(1), verifier);
        vm.stopPrank();

        vm.startPrank(registrar);
        credit.registerClass("wind-and-sun", "methodology", CAP, 0);
        credit.registerClass("second", "methodology", CAP, 0);
        credit.registerProject(1, owner, "lhb-wind");
        credit.registerSite(1, "lhb-wind");
        credit.registerProject(2, owner, "other");
        credit.registerSite(2, "other");
        vm.stopPrank();
    }

    function deployCredit() internal virtual returns (address) {
        return vm.deployCode("CarbonCredit.sol:CarbonCredit", abi.encode(admin, uint48(0)));
    }

    function issuerOf(uint32 classId) internal pure returns (bytes32) {
        return keccak256(abi.encode("ISSUER_ROLE", classId));
    }

    function verifierOf(uint32 classId) internal pure returns (bytes32) {
        return keccak256(abi.encode("VERIFIER_ROLE", classId));
    }

    // ------------------------------------------------------------------ claims

    /// @dev A claim of the first site that the contract accepts: a month that begins where the
    /// last one ended.
    function goodClaim() internal returns (ICarbonCredit.Claim memory claim) {
        bytes32 key = newKey();
        claim.key = key;
        claim.classId = 1;
        claim.projectId = 1;
        claim.siteId = 1;
        claim.amount = AMOUNT;
        claim.periodStart = nextStart(1);
        claim.periodEnd = claim.periodStart + MONTH;
        claim.evidenceRoot = keccak256(abi.encode("root", key));
        claim.evidenceTotal = AMOUNT;
        claim.manifestHash = keccak256(abi.encode("manifest", key));
        claim.methodologyHash = "methodology";
        claim.recipient = owner;
        claim.deadline = type(uint64).max;
    }

    function nextStart(uint32 siteId) internal view returns (uint32) {
        uint32 until = credit.siteOf(siteId).mintedUntil;
        return until == 0 ? START : until;
    }

    function newKey() internal returns (bytes32) {
        return keccak256(abi.encode("key", address(this), ++_numbers));
    }

    /// @dev The evidence of a claim: a tree of one reading, of a meter of the claim's site, over
    /// the claim's period.
    function readingOf(ICarbonCredit.Claim memory claim, bytes32 meter)
        internal
        pure
        returns (ICreditOversight.Reading memory reading)
    {
        reading.meter = meter;
        reading.start = claim.periodStart;
        reading.end = claim.periodEnd;
        reading.digits = 123;
        reading.kind = 2;
        reading.quality = 100;
        reading.text = claim.key;
    }

    function leafOf(ICreditOversight.Reading memory reading) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(reading))));
    }

    /// @dev EIP-712, field by field.
    function typed(bytes32 structHash) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Truetonne CarbonCredit"),
                keccak256("1"),
                block.chainid,
                address(credit)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function digestOf(ICarbonCredit.Claim memory claim) internal view returns (bytes32) {
        bytes memory first = abi.encode(
            claim.key,
            claim.classId,
            claim.projectId,
            claim.siteId,
            claim.amount,
            claim.periodStart,
            claim.periodEnd,
            claim.expiresAt,
            claim.backfillBefore
        );
        bytes memory second = abi.encode(
            claim.evidenceRoot,
            claim.evidenceTotal,
            claim.manifestHash,
            claim.methodologyHash,
            claim.recipient,
            claim.deadline
        );
        bytes32 kind = keccak256(
            "Claim(bytes32 key,uint32 classId,uint32 projectId,uint32 siteId,uint64 amount,uint32 periodStart,uint32 periodEnd,uint32 expiresAt,uint32 backfillBefore,bytes32 evidenceRoot,uint64 evidenceTotal,bytes32 manifestHash,bytes32 methodologyHash,address recipient,uint64 deadline)"
        );
        return typed(keccak256(bytes.concat(kind, first, second)));
    }

    function digestOf(ICarbonCredit.RetirementOrder memory order) internal view returns (bytes32) {
        string memory inner =
            "Retirement(string beneficiary,string reason,bytes2 country,uint32 consumptionStart,uint32 consumptionEnd,bytes32 documentHash)";
        string memory outer =
            "RetirementOrder(address holder,bytes32 key,uint256 batchId,uint64 amount,Retirement details,uint256 nonce,uint64 deadline)";
        ICarbonCredit.Retirement memory why = order.details;
        bytes32 whyHash = keccak256(
            abi.encode(
                keccak256(bytes(inner)),
                keccak256(bytes(why.beneficiary)),
                keccak256(bytes(why.reason)),
                why.country,
                why.consumptionStart,
                why.consumptionEnd,
                why.documentHash
            )
        );
        return typed(
            keccak256(
                abi.encode(
                    keccak256(bytes.concat(bytes(outer), bytes(inner))),
                    order.holder,
                    order.key,
                    order.batchId,
                    order.amount,
                    whyHash,
                    order.nonce,
                    order.deadline
                )
            )
        );
    }

    function digestOfApproval(
        address holder,
        address operator,
        bool approved,
        uint256 nonce,
        uint64 deadline
    ) internal view returns (bytes32) {
        bytes32 kind = keccak256(
            "ApprovalForAll(address owner,address operator,bool approved,uint256 nonce,uint64 deadline)"
        );
        return typed(keccak256(abi.encode(kind, holder, operator, approved, nonce, deadline)));
    }

    function signedBy(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function signed(ICarbonCredit.Claim memory claim) internal view returns (bytes memory) {
        return signedBy(verifierKey, digestOf(claim));
    }

    function issue(ICarbonCredit.Claim memory claim) internal returns (uint256 batchId) {
        bytes memory signature = signed(claim);
        vm.prank(issuer);
        return credit.issue(claim, verifier, signature);
    }

    /// @dev Expects that the issuance is refused with these bytes.
    function issueRefused(ICarbonCredit.Claim memory claim, bytes memory reason) internal {
        bytes memory signature = signed(claim);
        vm.expectRevert(reason);
        vm.prank(issuer);
        credit.issue(claim, verifier, signature);
    }

    // -------------------------------------------------------------------- acts

    function details() internal pure returns (ICarbonCredit.Retirement memory plain) {
        plain.beneficiary = "Truetonne";
        plain.country = "FR";
    }

    function retire(address holder, uint256 batchId, uint64 amount) internal returns (uint64) {
        bytes32 key = newKey();
        vm.prank(holder);
        return credit.retire(key, batchId, amount, details());
    }

    function cancel(address holder, uint256 batchId, uint64 amount) internal {
        bytes32 key = newKey();
        vm.prank(holder);
        credit.cancel(key, batchId, amount, "");
    }

    function transfer(address from, address to, uint256 batchId, uint256 amount) internal {
        vm.prank(from);
        credit.safeTransferFrom(from, to, batchId, amount, "");
    }
}
