// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1155} from "@openzeppelin/contracts/token/ERC1155/IERC1155.sol";

import {CarbonCredit} from "../../../contracts/CarbonCredit.sol";
import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {Symbolic, WillingVerifier} from "../base/Symbolic.sol";

/// @title Properties of CarbonCredit, for all amounts, callers and claims
/// @dev Who may change what, function by function, is in CreditAccess.t.sol and CreditHolders.t.sol.
contract CreditProperties is Symbolic {
    CarbonCredit private credit;
    WillingVerifier private verifier;

    address private constant ADMIN = address(0xad);
    address private constant REGISTRAR = address(0x4e);
    address private constant ISSUER = address(0x15);
    address private constant OFFICER = address(0x0f); // pauses and suspends
    address private constant OWNER = address(0x0e);
    address private constant HOLDER = address(0xa1);
    address private constant OTHER = address(0xb0);

    uint256 private constant BATCH = uint256(1) << 32 | 1;

    ICarbonCredit.Claim private _claim;
    uint64 private _issued;

    function setUp() public {
        vm.warp(2_000_000_000);
        credit = new CarbonCredit(ADMIN, 0);
        verifier = new WillingVerifier();
        vm.startPrank(ADMIN);
        credit.grantRole(keccak256("REGISTRAR_ROLE"), REGISTRAR);
        credit.grantRole(keccak256("PAUSER_ROLE"), OFFICER);
        credit.grantRole(keccak256("SUSPENDER_ROLE"), OFFICER);
        credit.grantRole(keccak256("REVERSER_ROLE"), OFFICER);
        credit.grantRole(keccak256(abi.encode("ISSUER_ROLE", uint32(1))), ISSUER);
        credit.grantRole(keccak256(abi.encode("VERIFIER_ROLE", uint32(1))), address(verifier));
        vm.stopPrank();
        vm.startPrank(REGISTRAR);
        credit.registerClass("class", "", type(uint64).max, 0);
        credit.registerProject(1, OWNER, "project");
        credit.registerSite(1, "site");
        vm.stopPrank();

        _claim = _plainClaim();
        _issued = uint64(svm.createUint256("issued"));
        vm.assume(_issued > 0 && _issued < 1 << 40);
        _claim.amount = _issued;
        _claim.evidenceTotal = _issued;
        vm.prank(ISSUER);
        credit.issue(_claim, address(verifier), "");
    }

    /// @notice CC-31, CC-43: a transfer moves exactly its amount, and only with the holder's leave.
    function check_transferConserves(address caller, address from, address to, uint256 amount)
        external
    {
        uint256 held = credit.balanceOf(HOLDER, BATCH);
        bytes memory data = abi.encodeCall(IERC1155.safeTransferFrom, (from, to, BATCH, amount, ""));
        if (!tryCall(caller, address(credit), data)) return;
        vm.assertTrue(caller == from, "somebody else's units");
        uint256 rest = credit.balanceOf(HOLDER, BATCH);
        if (from == HOLDER && to != HOLDER) {
            vm.assertEq(rest, held - amount, "what is left");
            vm.assertEq(credit.balanceOf(to, BATCH), amount, "what arrived");
        } else {
            vm.assertEq(rest, held, "nothing was held");
        }
        vm.assertEq(credit.totalSupply(BATCH), _issued, "supply");
    }

    /// @notice CC-40, CC-41, CC-43: retired is what is no longer held; nobody retires for others.
    function check_retireConserves(address caller, uint64 amount) external {
        ICarbonCredit.Retirement memory details;
        bytes memory data = abi.encodeCall(ICarbonCredit.retire, ("key", BATCH, amount, details));
        if (!tryCall(caller, address(credit), data)) return;
        vm.assertTrue(caller == HOLDER && amount > 0 && amount <= _issued, "whose units");
        ICarbonCredit.Batch memory batch = credit.batchOf(BATCH);
        vm.assertEq(batch.retired, amount, "retired");
        vm.assertEq(batch.cancelled, 0, "cancelled");
        vm.assertEq(credit.balanceOf(HOLDER, BATCH), _issued - amount, "held");
    }

    /// @notice CC-40, CC-42, CC-43: retirements from the bottom and cancellations from the top
    /// never meet.
    function check_serialsNeverMeet(uint64 retired, uint64 cancelled) external {
        ICarbonCredit.Retirement memory details;
        bool first = tryCall(
            HOLDER,
            address(credit),
            abi.encodeCall(ICarbonCredit.retire, ("key", BATCH, retired, details))
        );
        bool second = tryCall(
            HOLDER,
            address(credit),
            abi.encodeCall(ICarbonCredit.cancel, ("key", BATCH, cancelled, ""))
        );
        if (!first || !second) return;
        ICarbonCredit.Batch memory batch = credit.batchOf(BATCH);
        vm.assertEq(batch.retired, retired, "retired");
        vm.assertEq(batch.cancelled, cancelled, "cancelled");
        // The last serial retired is below the first cancelled one.
        vm.assertTrue(uint256(retired) + cancelled <= batch.issued, "serials meet");
    }

    /// @notice CC-51: the holder of an active batch can always retire, paused or not.
    function check_holderCanAlwaysRetire(uint64 amount, bytes32 key, bool paused) external {
        vm.assume(amount > 0 && amount <= _issued && key != 0);
        if (paused) {
            vm.prank(OFFICER);
            credit.pause();
        }
        ICarbonCredit.Retirement memory details;
        bytes memory data = abi.encodeCall(ICarbonCredit.retire, (key, BATCH, amount, details));
        vm.assertTrue(tryCall(HOLDER, address(credit), data), "refused");
    }

    /// @notice CC-13, CC-14, CC-15: key, root and period of an issuance are never issued upon
    /// again, whatever else a claim says.
    function check_noDoubleIssuance(ICarbonCredit.Claim calldata claim) external {
        vm.assume(
            claim.key == _claim.key || claim.evidenceRoot == _claim.evidenceRoot
                || (claim.siteId == 1
                    && claim.periodStart < _claim.periodEnd
                    && claim.periodEnd > _claim.periodStart)
        );
        bytes memory data = abi.encodeCall(ICarbonCredit.issue, (claim, address(verifier), ""));
        vm.assertTrue(!tryCall(ISSUER, address(credit), data), "issued twice");
    }

    /// @notice CC-10, CC-12: only an issuer issues, and none for a project of its own.
    function check_onlyAnIssuerIssues(address caller, ICarbonCredit.Claim calldata claim) external {
        bytes memory data = abi.encodeCall(ICarbonCredit.issue, (claim, address(verifier), ""));
        if (tryCall(caller, address(credit), data)) {
            vm.assertTrue(caller == ISSUER && claim.classId == 1, "who issues");
        }
    }

    function _plainClaim() private pure returns (ICarbonCredit.Claim memory claim) {
        claim.key = "first";
        claim.classId = 1;
        claim.projectId = 1;
        claim.siteId = 1;
        claim.periodStart = 1_704_063_600;
        claim.periodEnd = 1_706_655_600;
        claim.evidenceRoot = "root";
        claim.recipient = HOLDER;
        claim.deadline = type(uint64).max;
    }
}
