// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1155} from "@openzeppelin/contracts/token/ERC1155/IERC1155.sol";

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {CreditScene} from "./CreditScene.sol";

/// @title Who may do what with units of credits: a property for each function
/// @dev The caller is anybody but the holder: every other party, another holder too.
contract CreditHoldersProperties is CreditScene {
    // ------------------------------------------------------------ units of others

    /// @notice CC-31, CC-53: only a holder or its operator moves its units.
    function check_onlyTheHolderOrItsOperatorMoves(address caller, address to, uint256 amount)
        external
    {
        vm.assume(caller != BROKER);
        bytes memory data =
            abi.encodeCall(IERC1155.safeTransferFrom, (HOLDER, to, ACTIVE, amount, ""));
        refusedTo(caller, HOLDER, data);
        works(BROKER, abi.encodeCall(IERC1155.safeTransferFrom, (HOLDER, OTHER, ACTIVE, 1, "")));
    }

    /// @notice CC-31, CC-53: nor in batches.
    function check_onlyTheHolderOrItsOperatorMovesMany(
        address caller,
        address to,
        uint256 batchId,
        uint256 amount
    ) external {
        vm.assume(caller != BROKER);
        uint256[] memory ids = new uint256[](2);
        uint256[] memory amounts = new uint256[](2);
        (ids[0], ids[1], amounts[0], amounts[1]) = (ACTIVE, batchId, 1, amount);
        bytes memory data =
            abi.encodeCall(IERC1155.safeBatchTransferFrom, (HOLDER, to, ids, amounts, ""));
        refusedTo(caller, HOLDER, data);
    }

    /// @notice CC-31, CC-35: only an account itself names its operators.
    function check_onlyAnAccountItselfApproves(
        address caller,
        address operator,
        bool approved,
        address third
    ) external {
        vm.assume(caller != HOLDER);
        bool before = credit.isApprovedForAll(HOLDER, third);
        tryCall(
            caller,
            address(credit),
            abi.encodeCall(IERC1155.setApprovalForAll, (operator, approved))
        );
        vm.assertTrue(credit.isApprovedForAll(HOLDER, third) == before, "approval");
    }

    /// @notice CC-21, CC-40: only the holder retires its units; nobody retires the buffer's.
    function check_onlyTheHolderRetires(address caller, bytes32 key, uint256 batchId, uint64 amount)
        external
    {
        ICarbonCredit.Retirement memory details;
        _leavesUnits(caller, abi.encodeCall(ICarbonCredit.retire, (key, batchId, amount, details)));
        works(HOLDER, abi.encodeCall(ICarbonCredit.retire, ("key", ACTIVE, HELD, details)));
    }

    /// @notice CC-21, CC-40, CC-45: nor of several batches at once.
    function check_onlyTheHolderRetiresMany(
        address caller,
        bytes32 key,
        uint256 batchId,
        uint64 first,
        uint64 second
    ) external {
        ICarbonCredit.Retirement memory details;
        uint256[] memory ids = new uint256[](2);
        uint64[] memory amounts = new uint64[](2);
        (ids[0], ids[1], amounts[0], amounts[1]) = (ACTIVE, batchId, first, second);
        _leavesUnits(
            caller, abi.encodeCall(ICarbonCredit.retireBatch, (key, ids, amounts, details))
        );
    }

    /// @notice CC-21, CC-40: only the holder cancels its units; nobody cancels the buffer's.
    function check_onlyTheHolderCancels(address caller, bytes32 key, uint256 batchId, uint64 amount)
        external
    {
        _leavesUnits(caller, abi.encodeCall(ICarbonCredit.cancel, (key, batchId, amount, "")));
        works(HOLDER, abi.encodeCall(ICarbonCredit.cancel, ("key", ACTIVE, HELD, "")));
    }

    /// @notice CC-35: only what the owner signed is approved in its name, whoever sends it: any
    /// signature that yields another account is refused.
    function check_onlyTheOwnersSignatureApproves(
        address caller,
        address operator,
        bool approved,
        uint64 deadline,
        bytes32 r,
        bytes32 s
    ) external {
        bytes32 digest = credit.hashApproval(HOLDER, operator, approved, 0, deadline);
        _unsigned(digest, r, s);
        bytes memory data = abi.encodeCall(
            ICarbonCredit.permitForAll,
            (HOLDER, operator, approved, deadline, abi.encodePacked(r, s, uint8(27)))
        );
        vm.assertTrue(!tryCall(caller, address(credit), data), "not refused");
    }

    /// @notice CC-46: only what the holder signed is retired in its name, whoever sends it.
    function check_onlyTheHoldersSignatureRetires(
        address caller,
        bytes32 key,
        uint64 amount,
        uint64 deadline,
        bytes32 r,
        bytes32 s
    ) external {
        ICarbonCredit.RetirementOrder memory order;
        (order.holder, order.key, order.batchId) = (HOLDER, key, ACTIVE);
        (order.amount, order.deadline) = (amount, deadline);
        _unsigned(credit.hashRetirement(order), r, s);
        bytes memory data =
            abi.encodeCall(ICarbonCredit.retireFor, (order, abi.encodePacked(r, s, uint8(27))));
        vm.assertTrue(!tryCall(caller, address(credit), data), "not refused");
    }

    /// @dev Whatever becomes of the call, the units of the holder and of the buffer stay.
    function _leavesUnits(address caller, bytes memory data) private {
        vm.assume(caller != HOLDER && caller != address(credit)); // which calls nobody but receivers
        tryCall(caller, address(credit), data);
        vm.assertEq(credit.balanceOf(HOLDER, ACTIVE), HELD, "the holder's");
        vm.assertEq(credit.balanceOf(address(credit), ACTIVE), 100, "the buffer's");
    }

    /// @dev The signature is not the holder's.
    function _unsigned(bytes32 digest, bytes32 r, bytes32 s) private pure {
        vm.assume(ecrecover(digest, 27, r, s) != HOLDER);
    }
}
