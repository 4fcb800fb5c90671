// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";
import {IERC1155Receiver} from "@openzeppelin/contracts/token/ERC1155/IERC1155Receiver.sol";
import {ERC1155Holder} from "@openzeppelin/contracts/token/ERC1155/utils/ERC1155Holder.sol";

/// @title An ERC-1155 that anyone mints and anyone freezes
contract PlainCredits is ERC1155("") {
    mapping(uint256 id => bool) public frozen;

    function mint(address to, uint256 id, uint256 amount) external {
        _mint(to, id, amount, "");
    }

    function freeze(uint256 id, bool frozen_) external {
        frozen[id] = frozen_;
    }

    /// @notice Tells a contract of a transfer that there was none of.
    function lie(address to, address from, uint256 id, uint256 amount) external {
        IERC1155Receiver(to).onERC1155Received(msg.sender, from, id, amount, "");
    }

    function isTransferable(uint256 id) external view returns (bool) {
        return !frozen[id];
    }

    function _update(address from, address to, uint256[] memory ids, uint256[] memory values)
        internal
        override
    {
        for (uint256 i; i < ids.length; ++i) {
            require(!frozen[ids[i]], "frozen");
        }
        super._update(from, to, ids, values);
    }
}

/// @title A receiver of credits that calls back, in the middle of the transfer
contract ReenteringReceiver is ERC1155Holder {
    address private _target;
    bytes private _call;

    /// @notice Sets what is called on the next receipt.
    function arm(address target, bytes calldata call_) external {
        _target = target;
        _call = call_;
    }

    /// @notice Lets the receiver itself call.
    function run(address target, bytes calldata call_) external {
        _forward(target, call_);
    }

    function onERC1155Received(address, address, uint256, uint256, bytes memory)
        public
        override
        returns (bytes4)
    {
        address target = _target;
        _target = address(0);
        if (target != address(0)) _forward(target, _call);
        return this.onERC1155Received.selector;
    }

    function _forward(address target, bytes memory call_) private {
        (bool ok, bytes memory answer) = target.call(call_);
        if (ok) return;
        assembly ("memory-safe") {
            revert(add(answer, 0x20), mload(answer))
        }
    }
}
