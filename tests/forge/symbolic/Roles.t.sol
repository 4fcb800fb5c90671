// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {
    IAccessControlDefaultAdminRules as IAdminRules
} from "@openzeppelin/contracts/access/extensions/IAccessControlDefaultAdminRules.sol";

import {CarbonCredit} from "../../../contracts/CarbonCredit.sol";
import {VppSettlement} from "../../../contracts/VppSettlement.sol";
import {PlainCredits} from "../../../contracts/mocks/Credits.sol";
import {PlainCurrency} from "../../../contracts/mocks/Currencies.sol";
import {Symbolic} from "../base/Symbolic.sol";

/// @title Who may change the roles of both contracts, for all callers, roles and accounts
/// @dev Each property ends with the party itself, so that a refusal is not for another reason.
contract RolesProperties is Symbolic {
    AccessControlDefaultAdminRules[2] private ledgers;

    address private constant ADMIN = address(0xad);
    address private constant NEXT = address(0xae);
    address private constant KEEPER = address(0x0f); // has ROLE, and nothing else
    bytes32 private constant ROLE = keccak256("PAUSER_ROLE");
    uint48 private constant DELAY = 1 days;

    function setUp() public {
        vm.warp(2_000_000_000);
        ledgers[0] = new CarbonCredit(ADMIN, DELAY);
        PlainCurrency currency = new PlainCurrency(2);
        PlainCredits credits = new PlainCredits();
        ledgers[1] = new VppSettlement(
            ADMIN, DELAY, address(currency), address(credits), 600, 3600, 500, 1, 1, KEEPER
        );
        vm.startPrank(ADMIN);
        ledgers[0].grantRole(ROLE, KEEPER);
        ledgers[1].grantRole(ROLE, KEEPER);
        vm.stopPrank();
    }

    /// @notice CC-53, CC-54: only the admin grants a role.
    function check_onlyTheAdminGrants(address caller, bytes32 role, address account) external {
        _refusedTo(caller, ADMIN, abi.encodeCall(IAccessControl.grantRole, (role, account)));
        _works(ADMIN, abi.encodeCall(IAccessControl.grantRole, (ROLE, account)));
    }

    /// @notice CC-53, CC-54: only the admin takes a role away.
    function check_onlyTheAdminRevokes(address caller, bytes32 role, address account) external {
        _refusedTo(caller, ADMIN, abi.encodeCall(IAccessControl.revokeRole, (role, account)));
        _works(ADMIN, abi.encodeCall(IAccessControl.revokeRole, (ROLE, account)));
    }

    /// @notice CC-53, CC-54: a role is given back by whom it belongs to, and by nobody else.
    function check_onlyAnAccountItselfRenounces(address caller, bytes32 role, address account)
        external
    {
        vm.assume(caller != account);
        _refused(caller, abi.encodeCall(IAccessControl.renounceRole, (role, account)));
        _works(KEEPER, abi.encodeCall(IAccessControl.renounceRole, (ROLE, KEEPER)));
    }

    /// @notice CC-54: a grant gives this role to this account, and no other to nobody else.
    function check_aGrantIsOne(bytes32 role, address account, bytes32 other, address third)
        external
    {
        vm.assume(role != other || account != third);
        for (uint256 i; i < ledgers.length; ++i) {
            bool before = ledgers[i].hasRole(other, third);
            tryCall(
                ADMIN,
                address(ledgers[i]),
                abi.encodeCall(IAccessControl.grantRole, (role, account))
            );
            vm.assertTrue(ledgers[i].hasRole(other, third) == before, "another's role");
        }
    }

    /// @notice CC-54: not even the admin makes a second admin, or leaves without the two steps.
    function check_theAdminIsOne(address account) external {
        _refused(ADMIN, abi.encodeCall(IAccessControl.grantRole, (0, account)));
        _refused(ADMIN, abi.encodeCall(IAccessControl.revokeRole, (0, account)));
        _refused(ADMIN, abi.encodeCall(IAccessControl.renounceRole, (0, ADMIN)));
    }

    /// @notice CC-54: only the admin names the next one.
    function check_onlyTheAdminBeginsATransfer(address caller, address next) external {
        bytes memory data = abi.encodeCall(IAdminRules.beginDefaultAdminTransfer, (next));
        _refusedTo(caller, ADMIN, data);
        _works(ADMIN, data);
    }

    /// @notice CC-54: only the admin takes that back.
    function check_onlyTheAdminCancelsATransfer(address caller) external {
        _works(ADMIN, abi.encodeCall(IAdminRules.beginDefaultAdminTransfer, (NEXT)));
        bytes memory data = abi.encodeCall(IAdminRules.cancelDefaultAdminTransfer, ());
        _refusedTo(caller, ADMIN, data);
        _works(ADMIN, data);
    }

    /// @notice CC-54: only whom the admin has named becomes the next one, and not before the delay
    /// is over.
    function check_onlyTheNextAdminAccepts(address caller, uint32 wait) external {
        _works(ADMIN, abi.encodeCall(IAdminRules.beginDefaultAdminTransfer, (NEXT)));
        vm.assume(caller != NEXT || wait <= DELAY);
        vm.warp(block.timestamp + wait);
        bytes memory data = abi.encodeCall(IAdminRules.acceptDefaultAdminTransfer, ());
        _refused(caller, data);
        for (uint256 i; i < ledgers.length; ++i) {
            vm.assertEq(ledgers[i].defaultAdmin(), ADMIN, "admin");
        }
        vm.warp(block.timestamp + DELAY + 1);
        _works(NEXT, data);
    }

    /// @notice CC-54: only the admin changes the delay.
    function check_onlyTheAdminChangesTheDelay(address caller, uint48 delay) external {
        _refusedTo(caller, ADMIN, abi.encodeCall(IAdminRules.changeDefaultAdminDelay, (delay)));
        _works(ADMIN, abi.encodeCall(IAdminRules.changeDefaultAdminDelay, (2 days)));
    }

    /// @notice CC-54: only the admin takes that back.
    function check_onlyTheAdminRollsTheDelayBack(address caller) external {
        _works(ADMIN, abi.encodeCall(IAdminRules.changeDefaultAdminDelay, (2 days)));
        bytes memory data = abi.encodeCall(IAdminRules.rollbackDefaultAdminDelay, ());
        _refusedTo(caller, ADMIN, data);
        _works(ADMIN, data);
        for (uint256 i; i < ledgers.length; ++i) {
            vm.assertEq(ledgers[i].defaultAdminDelay(), DELAY, "delay");
        }
    }

    function _refusedTo(address caller, address party, bytes memory data) private {
        vm.assume(caller != party);
        _refused(caller, data);
    }

    function _refused(address caller, bytes memory data) private {
        vm.assertTrue(!tryCall(caller, address(ledgers[0]), data), "credit: not refused");
        vm.assertTrue(!tryCall(caller, address(ledgers[1]), data), "settlement: not refused");
    }

    function _works(address party, bytes memory data) private {
        vm.assertTrue(tryCall(party, address(ledgers[0]), data), "credit: refused");
        vm.assertTrue(tryCall(party, address(ledgers[1]), data), "settlement: refused");
    }
}
