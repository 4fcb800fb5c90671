// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {CarbonCredit} from "../../../contracts/CarbonCredit.sol";
import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {Symbolic, WillingVerifier} from "../base/Symbolic.sol";

/// @title A credit ledger with a batch in every state, and a party for every role
/// @dev Each act is one that its party could do, so that a refusal of others is no accident.
abstract contract CreditScene is Symbolic {
    CarbonCredit internal credit;
    WillingVerifier internal verifier;

    address internal constant ADMIN = address(0xad);
    address internal constant REGISTRAR = address(0x4e);
    address internal constant ISSUER = address(0x15);
    address internal constant PAUSER = address(0x0f);
    address internal constant SUSPENDER = address(0x5e);
    address internal constant REVERSER = address(0x4f);
    address internal constant OWNER = address(0x0e);
    address internal constant HOLDER = address(0xa1);
    address internal constant OTHER = address(0xb0); // holds units too
    address internal constant BROKER = address(0xb4); // the holder's operator

    uint256 internal constant ACTIVE = uint256(1) << 32 | 1;
    uint256 internal constant SUSPENDED = uint256(1) << 32 | 2;
    uint256 internal constant PENDING = uint256(1) << 32 | 3; // an invalidation is due
    uint256 internal constant PAST = uint256(1) << 32 | 4; // its expiry is over
    uint256 internal constant INVALID = uint256(1) << 32 | 5; // with a deficit

    uint64 internal constant AMOUNT = 1000;
    uint64 internal constant HELD = 600; // the holder's; the buffer has 100, the other one 300
    uint64 internal constant DEFICIT = 50;

    function setUp() public {
        vm.warp(2_000_000_000);
        credit = new CarbonCredit(ADMIN, 0);
        verifier = new WillingVerifier();
        vm.startPrank(ADMIN);
        credit.grantRole(keccak256("REGISTRAR_ROLE"), REGISTRAR);
        credit.grantRole(keccak256("PAUSER_ROLE"), PAUSER);
        credit.grantRole(keccak256("SUSPENDER_ROLE"), SUSPENDER);
        credit.grantRole(keccak256("REVERSER_ROLE"), REVERSER);
        credit.grantRole(keccak256(abi.encode("ISSUER_ROLE", uint32(1))), ISSUER);
        credit.grantRole(keccak256(abi.encode("VERIFIER_ROLE", uint32(1))), address(verifier));
        vm.stopPrank();
        vm.startPrank(REGISTRAR);
        credit.registerClass("class", "", type(uint64).max, 1000);
        credit.registerProject(1, OWNER, "project");
        credit.registerSite(1, "site");
        vm.stopPrank();
        for (uint32 number = 1; number <= 5; ++number) {
            _issue(number);
        }
        ICarbonCredit.Retirement memory details;
        vm.startPrank(HOLDER);
        credit.safeTransferFrom(HOLDER, OTHER, ACTIVE, 300, "");
        credit.setApprovalForAll(BROKER, true);
        credit.retire("retirement", INVALID, DEFICIT, details);
        vm.stopPrank();
        vm.startPrank(REVERSER);
        credit.proposeInvalidation(PENDING, "");
        credit.proposeInvalidation(INVALID, "");
        vm.stopPrank();
        vm.warp(block.timestamp + 7 days);
        vm.prank(ADMIN);
        credit.executeInvalidation(INVALID);
        vm.prank(SUSPENDER);
        credit.suspend(SUSPENDED);
    }

    // ------------------------------------------------------------------- helpers

    function refusedTo(address caller, address party, bytes memory data) internal {
        vm.assume(caller != party);
        vm.assertTrue(!tryCall(caller, address(credit), data), "not refused");
    }

    function works(address party, bytes memory data) internal {
        vm.assertTrue(tryCall(party, address(credit), data), "refused to the party");
    }

    function _issue(uint32 number) private {
        ICarbonCredit.Claim memory claim;
        claim.key = bytes32(uint256(number));
        claim.classId = 1;
        claim.projectId = 1;
        claim.siteId = 1;
        claim.amount = AMOUNT;
        claim.periodStart = 1_704_063_600 + number * 30 days;
        claim.periodEnd = claim.periodStart + 30 days;
        claim.expiresAt = number == 4 ? uint32(block.timestamp + 1 days) : 0;
        claim.evidenceRoot = bytes32(uint256(number));
        claim.evidenceTotal = AMOUNT;
        claim.recipient = HOLDER;
        claim.deadline = type(uint64).max;
        vm.prank(ISSUER);
        credit.issue(claim, address(verifier), "");
    }
}
