// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1155Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC1155} from "@openzeppelin/contracts/token/ERC1155/IERC1155.sol";
import {
    IERC1155MetadataURI
} from "@openzeppelin/contracts/token/ERC1155/extensions/IERC1155MetadataURI.sol";

import {Test} from "../base/Test.sol";
import {Deaf, Receiver} from "./Receiver.sol";

/// @title How an ERC-1155 behaves, for any contract that calls itself one
/// @dev The same for OpenZeppelin's plain token, which shows that the suite asks the right things,
/// and for ours. The holder begins with `LEFT` of the first id and `RIGHT` of the second.
abstract contract ERC1155Behaviour is Test {
    uint256 internal constant LEFT = 1000;
    uint256 internal constant RIGHT = 2000;

    address internal holder;
    address internal other;
    address internal operator;

    /// @dev The token, with what the holder begins with.
    IERC1155 internal token;
    uint256 internal leftId;
    uint256 internal rightId;

    function setUp() public {
        holder = accountOf("holder");
        other = accountOf("other");
        operator = accountOf("operator");
        prepare();
    }

    /// @dev Sets the token and its ids.
    function prepare() internal virtual;

    // ---------------------------------------------------------------- balances

    /// @notice CC-32: balances are of an account and an id.
    function testBalanceOf() external view {
        vm.assertEq(token.balanceOf(holder, leftId), LEFT, "left");
        vm.assertEq(token.balanceOf(holder, rightId), RIGHT, "right");
        vm.assertEq(token.balanceOf(other, leftId), 0, "another account");
        vm.assertEq(token.balanceOf(holder, rightId + 77), 0, "an id that nobody has");
    }

    /// @notice CC-32: many balances at once, repeated ones too, none, and lists of two lengths.
    function testBalanceOfBatch() external {
        (address[] memory accounts, uint256[] memory ids) = (new address[](3), new uint256[](3));
        (accounts[0], ids[0]) = (holder, rightId);
        (accounts[1], ids[1]) = (other, leftId);
        (accounts[2], ids[2]) = (holder, rightId);
        uint256[] memory found = token.balanceOfBatch(accounts, ids);
        vm.assertEq(found.length, 3, "length");
        vm.assertTrue(found[0] == RIGHT && found[1] == 0 && found[2] == RIGHT, "balances");
        vm.assertEq(token.balanceOfBatch(new address[](0), new uint256[](0)).length, 0, "none");

        vm.expectRevert(lengths(2, 3));
        token.balanceOfBatch(accounts, new uint256[](2));
        vm.expectRevert(lengths(3, 2));
        token.balanceOfBatch(new address[](2), ids);
    }

    // --------------------------------------------------------------- approvals

    /// @notice CC-31, CC-32: an approval is published, holds, and is taken back.
    function testApproval() external {
        vm.startPrank(holder);
        vm.expectEmit();
        emit IERC1155.ApprovalForAll(holder, operator, true);
        token.setApprovalForAll(operator, true);
        vm.assertTrue(token.isApprovedForAll(holder, operator), "approved");
        vm.assertTrue(!token.isApprovedForAll(operator, holder), "not the other way round");
        vm.assertTrue(!token.isApprovedForAll(holder, other), "nobody else");
        vm.expectEmit();
        emit IERC1155.ApprovalForAll(holder, operator, false);
        token.setApprovalForAll(operator, false);
        vm.assertTrue(!token.isApprovedForAll(holder, operator), "taken back");
        vm.expectRevert(
            abi.encodeWithSelector(IERC1155Errors.ERC1155InvalidOperator.selector, address(0))
        );
        token.setApprovalForAll(address(0), true);
        vm.stopPrank();
    }

    // ---------------------------------------------------------- single transfers

    /// @notice CC-31, CC-32: a transfer moves what it says, of this id alone, and is published.
    function testTransfer() external {
        vm.prank(holder);
        vm.expectEmit();
        emit IERC1155.TransferSingle(holder, holder, other, leftId, 400);
        token.safeTransferFrom(holder, other, leftId, 400, "");
        vm.assertEq(token.balanceOf(holder, leftId), LEFT - 400, "what is left");
        vm.assertEq(token.balanceOf(other, leftId), 400, "what arrived");
        vm.assertEq(token.balanceOf(holder, rightId), RIGHT, "the other id");
    }

    /// @notice CC-32: to oneself, of nothing, and of all.
    function testTransferAtTheEdges() external {
        vm.startPrank(holder);
        token.safeTransferFrom(holder, holder, leftId, LEFT, "");
        token.safeTransferFrom(holder, other, leftId, 0, "");
        vm.assertEq(token.balanceOf(holder, leftId), LEFT, "all there");
        token.safeTransferFrom(holder, other, leftId, LEFT, "");
        vm.stopPrank();
        vm.assertEq(token.balanceOf(other, leftId), LEFT, "all of it");
    }

    /// @notice CC-31, CC-32: not more than there is, not to nobody, not without leave.
    function testTransferIsRefused() external {
        vm.expectRevert(poor(LEFT, LEFT + 1, leftId));
        vm.prank(holder);
        token.safeTransferFrom(holder, other, leftId, LEFT + 1, "");
        vm.expectRevert(badReceiver(address(0)));
        vm.prank(holder);
        token.safeTransferFrom(holder, address(0), leftId, 1, "");
        vm.expectRevert(noLeave());
        vm.prank(operator);
        token.safeTransferFrom(holder, operator, leftId, 1, "");
    }

    /// @notice CC-31: an operator with leave moves the holder's units, and none of its own.
    function testOperatorTransfers() external {
        vm.prank(holder);
        token.setApprovalForAll(operator, true);
        vm.prank(operator);
        vm.expectEmit();
        emit IERC1155.TransferSingle(operator, holder, other, leftId, 1);
        token.safeTransferFrom(holder, other, leftId, 1, "");
        vm.assertEq(token.balanceOf(operator, leftId), 0, "nothing of its own");
        vm.assertEq(token.balanceOf(other, leftId), 1, "what arrived");
    }

    // ----------------------------------------------------------- batch transfers

    /// @notice CC-31, CC-32: several ids at once, published in one event.
    function testBatchTransfer() external {
        (uint256[] memory ids, uint256[] memory amounts) = both(10, 20);
        vm.prank(holder);
        vm.expectEmit();
        emit IERC1155.TransferBatch(holder, holder, other, ids, amounts);
        token.safeBatchTransferFrom(holder, other, ids, amounts, "");
        vm.assertEq(token.balanceOf(holder, leftId), LEFT - 10, "left");
        vm.assertEq(token.balanceOf(holder, rightId), RIGHT - 20, "right");
        vm.assertEq(token.balanceOf(other, leftId), 10, "left arrived");
        vm.assertEq(token.balanceOf(other, rightId), 20, "right arrived");
    }

    /// @notice CC-32: an empty batch, one of a single id, and the same id twice.
    function testBatchTransferAtTheEdges() external {
        uint256[] memory none = new uint256[](0);
        vm.startPrank(holder);
        vm.expectEmit();
        emit IERC1155.TransferBatch(holder, holder, other, none, none);
        token.safeBatchTransferFrom(holder, other, none, none, "");
        (uint256[] memory ids, uint256[] memory amounts) = (new uint256[](1), new uint256[](1));
        (ids[0], amounts[0]) = (leftId, 3);
        vm.expectEmit();
        emit IERC1155.TransferSingle(holder, holder, other, leftId, 3);
        token.safeBatchTransferFrom(holder, other, ids, amounts, "");
        (ids, amounts) = both(4, 5);
        ids[1] = leftId;
        token.safeBatchTransferFrom(holder, other, ids, amounts, "");
        vm.stopPrank();
        vm.assertEq(token.balanceOf(other, leftId), 12, "all of the first id");
    }

    /// @notice CC-31, CC-32: all of a batch or nothing.
    function testBatchTransferIsRefused() external {
        (uint256[] memory ids, uint256[] memory amounts) = both(1, RIGHT + 1);
        vm.startPrank(holder);
        vm.expectRevert(poor(RIGHT, RIGHT + 1, rightId));
        token.safeBatchTransferFrom(holder, other, ids, amounts, "");
        vm.assertEq(token.balanceOf(other, leftId), 0, "nothing moved");
        vm.expectRevert(lengths(2, 1));
        token.safeBatchTransferFrom(holder, other, ids, new uint256[](1), "");
        uint256[] memory one = new uint256[](1);
        one[0] = leftId;
        vm.expectRevert(lengths(1, 2));
        token.safeBatchTransferFrom(holder, other, one, amounts, "");
        (ids, amounts) = both(1, 1);
        vm.expectRevert(badReceiver(address(0)));
        token.safeBatchTransferFrom(holder, address(0), ids, amounts, "");
        vm.stopPrank();
        vm.expectRevert(noLeave());
        vm.prank(operator);
        token.safeBatchTransferFrom(holder, operator, ids, amounts, "");
    }

    // --------------------------------------------------------------- receivers

    /// @notice CC-32: a contract is told who sent what of whose, with the data as it was.
    function testReceiverIsTold() external {
        vm.prank(holder);
        token.setApprovalForAll(operator, true);
        Receiver receiver = new Receiver(Receiver.Answer.Good);
        vm.prank(operator);
        token.safeTransferFrom(holder, address(receiver), leftId, 5, hex"f00dd00d");
        vm.assertEq(
            receiver.told(),
            abi.encodeWithSelector(0xf23a6e61, operator, holder, leftId, 5, hex"f00dd00d"),
            "single"
        );
        (uint256[] memory ids, uint256[] memory amounts) = both(6, 7);
        vm.prank(operator);
        token.safeBatchTransferFrom(holder, address(receiver), ids, amounts, hex"f00d");
        vm.assertEq(
            receiver.told(),
            abi.encodeWithSelector(0xbc197c81, operator, holder, ids, amounts, hex"f00d"),
            "batch"
        );
        vm.assertEq(token.balanceOf(address(receiver), leftId), 11, "what arrived");
    }

    /// @notice CC-32: a contract that answers wrongly, or not at all, gets nothing.
    function testReceiverMustAccept() external {
        _receives(address(new Receiver(Receiver.Answer.Wrong)));
        _receives(address(new Receiver(Receiver.Answer.Silent)));
        _receives(address(new Deaf()));
    }

    function _receives(address receiver) private {
        _refusal(receiver, badReceiver(receiver));
    }

    /// @notice CC-32: what a contract says against it reaches the sender as it was said.
    function testReceiversWordsArrive() external {
        _refusal(
            address(new Receiver(Receiver.Answer.Text)),
            abi.encodeWithSignature("Error(string)", "not today")
        );
        _refusal(
            address(new Receiver(Receiver.Answer.Custom)),
            abi.encodeWithSelector(Receiver.NotToday.selector, 7)
        );
        _refusal(
            address(new Receiver(Receiver.Answer.Panic)),
            abi.encodeWithSignature("Panic(uint256)", 1)
        );
    }

    function _refusal(address receiver, bytes memory reason) private {
        (uint256[] memory ids, uint256[] memory amounts) = both(1, 1);
        vm.startPrank(holder);
        vm.expectRevert(reason);
        token.safeTransferFrom(holder, receiver, leftId, 1, "");
        vm.expectRevert(reason);
        token.safeBatchTransferFrom(holder, receiver, ids, amounts, "");
        vm.stopPrank();
        vm.assertEq(token.balanceOf(receiver, leftId), 0, "nothing arrived");
    }

    // -------------------------------------------------------------- interfaces

    /// @notice CC-32: ERC-165, ERC-1155 and its metadata, and nothing that it is not.
    function testInterfaces() external view {
        vm.assertTrue(token.supportsInterface(0x01ffc9a7), "ERC-165");
        vm.assertTrue(token.supportsInterface(0xd9b67a26), "ERC-1155");
        vm.assertTrue(token.supportsInterface(0x0e89341c), "metadata");
        vm.assertTrue(!token.supportsInterface(0xffffffff), "not this");
    }

    /// @notice CC-32: there is a URI.
    function testUri() external view {
        bytes memory uri = bytes(IERC1155MetadataURI(address(token)).uri(leftId));
        vm.assertTrue(uri.length > 0, "uri");
    }

    // ------------------------------------------------------------------ shared

    function both(uint256 left, uint256 right)
        internal
        view
        returns (uint256[] memory ids, uint256[] memory amounts)
    {
        (ids, amounts) = (new uint256[](2), new uint256[](2));
        (ids[0], ids[1]) = (leftId, rightId);
        (amounts[0], amounts[1]) = (left, right);
    }

    function lengths(uint256 ids, uint256 values) private pure returns (bytes memory) {
        return
            abi.encodeWithSelector(IERC1155Errors.ERC1155InvalidArrayLength.selector, ids, values);
    }

    function poor(uint256 has, uint256 needs, uint256 id) private view returns (bytes memory) {
        return abi.encodeWithSelector(
            IERC1155Errors.ERC1155InsufficientBalance.selector, holder, has, needs, id
        );
    }

    function badReceiver(address receiver) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IERC1155Errors.ERC1155InvalidReceiver.selector, receiver);
    }

    function noLeave() private view returns (bytes memory) {
        return abi.encodeWithSelector(
            IERC1155Errors.ERC1155MissingApprovalForAll.selector, operator, holder
        );
    }
}
