// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {ICreditOversight} from "../../../contracts/interfaces/ICreditOversight.sol";
import {ICreditRegistry} from "../../../contracts/interfaces/ICreditRegistry.sol";
import {CreditScene} from "./CreditScene.sol";

/// @title Who may change the register and the status of batches: a property for each function
/// @dev The caller is anybody but the party, other parties included. Most properties end with the
/// party doing what the others were refused. Roles are in Roles.t.sol, issuance is in Credit.t.sol,
/// and what is open to anyone stands in open.toml.
contract CreditAccessProperties is CreditScene {
    // ------------------------------------------------------------- the register

    /// @notice CC-01: only a registrar registers a class.
    function check_onlyARegistrarRegistersAClass(
        address caller,
        string calldata code,
        bytes32 methodology,
        uint64 cap,
        uint16 bufferBps
    ) external {
        refusedTo(
            caller,
            REGISTRAR,
            abi.encodeCall(ICreditRegistry.registerClass, (code, methodology, cap, bufferBps))
        );
        works(REGISTRAR, abi.encodeCall(ICreditRegistry.registerClass, ("new", "", cap, 0)));
    }

    /// @notice CC-01: only a registrar registers a project.
    function check_onlyARegistrarRegistersAProject(
        address caller,
        uint32 classId,
        address owner,
        string calldata code
    ) external {
        refusedTo(
            caller,
            REGISTRAR,
            abi.encodeCall(ICreditRegistry.registerProject, (classId, owner, code))
        );
        works(REGISTRAR, abi.encodeCall(ICreditRegistry.registerProject, (1, OWNER, "new")));
    }

    /// @notice CC-01: only a registrar registers a site.
    function check_onlyARegistrarRegistersASite(
        address caller,
        uint32 projectId,
        string calldata code
    ) external {
        refusedTo(
            caller, REGISTRAR, abi.encodeCall(ICreditRegistry.registerSite, (projectId, code))
        );
        works(REGISTRAR, abi.encodeCall(ICreditRegistry.registerSite, (1, "new")));
    }

    /// @notice CC-01, CC-05: only a registrar changes a cap.
    function check_onlyARegistrarSetsACap(address caller, uint32 classId, uint64 cap) external {
        refusedTo(caller, REGISTRAR, abi.encodeCall(ICreditRegistry.setClassCap, (classId, cap)));
        works(REGISTRAR, abi.encodeCall(ICreditRegistry.setClassCap, (1, cap)));
    }

    /// @notice CC-01, CC-06: only a registrar changes a buffer share.
    function check_onlyARegistrarSetsABuffer(address caller, uint32 classId, uint16 bps) external {
        refusedTo(caller, REGISTRAR, abi.encodeCall(ICreditRegistry.setClassBuffer, (classId, bps)));
        works(REGISTRAR, abi.encodeCall(ICreditRegistry.setClassBuffer, (1, 500)));
    }

    // ---------------------------------------------------------------- oversight

    /// @notice CC-50: only a suspender suspends.
    function check_onlyASuspenderSuspends(address caller, uint256 batchId) external {
        refusedTo(caller, SUSPENDER, abi.encodeCall(ICreditOversight.suspend, (batchId)));
        works(SUSPENDER, abi.encodeCall(ICreditOversight.suspend, (ACTIVE)));
    }

    /// @notice CC-50, CC-55: only the admin makes a batch active again.
    function check_onlyTheAdminReinstates(address caller, uint256 batchId) external {
        refusedTo(caller, ADMIN, abi.encodeCall(ICreditOversight.reinstate, (batchId)));
        works(ADMIN, abi.encodeCall(ICreditOversight.reinstate, (SUSPENDED)));
        works(ADMIN, abi.encodeCall(ICreditOversight.reinstate, (PENDING)));
    }

    /// @notice CC-52: only a pauser pauses.
    function check_onlyAPauserPauses(address caller) external {
        bytes memory data = abi.encodeCall(ICreditOversight.pause, ());
        refusedTo(caller, PAUSER, data);
        works(PAUSER, data);
    }

    /// @notice CC-52: only the admin resumes.
    function check_onlyTheAdminUnpauses(address caller) external {
        works(PAUSER, abi.encodeCall(ICreditOversight.pause, ()));
        bytes memory data = abi.encodeCall(ICreditOversight.unpause, ());
        refusedTo(caller, ADMIN, data);
        vm.assertTrue(credit.paused(), "resumed");
        works(ADMIN, data);
    }

    /// @notice CC-56: only a reverser proposes to invalidate.
    function check_onlyAReverserProposesAnInvalidation(
        address caller,
        uint256 batchId,
        string calldata reason
    ) external {
        refusedTo(
            caller,
            REVERSER,
            abi.encodeCall(ICreditOversight.proposeInvalidation, (batchId, reason))
        );
        works(REVERSER, abi.encodeCall(ICreditOversight.proposeInvalidation, (ACTIVE, "")));
    }

    /// @notice CC-56: only the admin invalidates what was proposed.
    function check_onlyTheAdminInvalidates(address caller, uint256 batchId) external {
        refusedTo(caller, ADMIN, abi.encodeCall(ICreditOversight.executeInvalidation, (batchId)));
        works(ADMIN, abi.encodeCall(ICreditOversight.executeInvalidation, (PENDING)));
    }

    /// @notice CC-56: nobody invalidates what it proposed itself, however long it waits.
    function check_onlyAnotherKeyInvalidates(uint256 batchId, uint32 wait) external {
        vm.prank(ADMIN);
        credit.grantRole(keccak256("REVERSER_ROLE"), ADMIN);
        vm.assume(batchId != PENDING); // that one is another's proposal
        works(ADMIN, abi.encodeCall(ICreditOversight.proposeInvalidation, (ACTIVE, "")));
        vm.warp(block.timestamp + wait);
        bytes memory data = abi.encodeCall(ICreditOversight.executeInvalidation, (batchId));
        vm.assertTrue(!tryCall(ADMIN, address(credit), data), "one key");
    }

    /// @notice CC-58: only a reverser uses the buffer.
    function check_onlyAReverserReplaces(
        address caller,
        bytes32 key,
        uint256 batchId,
        uint256 replacedBatchId,
        uint64 amount
    ) external {
        refusedTo(
            caller,
            REVERSER,
            abi.encodeCall(ICarbonCredit.replace, (key, batchId, replacedBatchId, amount))
        );
        works(REVERSER, abi.encodeCall(ICarbonCredit.replace, ("key", ACTIVE, INVALID, DEFICIT)));
    }

    // ------------------------------------------------------------- open to anyone

    /// @notice CC-33: anyone records an expiry, which changes the status of a batch whose time is
    /// over, and nothing of any other.
    function check_expiryIsOfAPastBatchAlone(address caller, uint256 batchId) external {
        bytes memory data = abi.encodeCall(ICreditOversight.expire, (batchId));
        bool ok = tryCall(caller, address(credit), data);
        vm.assertTrue(ok == (batchId == PAST), "which batch");
        vm.assertTrue(credit.statusOf(ACTIVE) == ICreditOversight.Status.Active, "another one");
        vm.assertEq(credit.balanceOf(HOLDER, PAST), 900, "units");
    }
}
