// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ERC1155Holder} from "@openzeppelin/contracts/token/ERC1155/utils/ERC1155Holder.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {ICarbonCredit} from "../interfaces/ICarbonCredit.sol";

/// @title A wallet that signs by ERC-1271 with its owner's key, and accepts credits
contract SmartWallet is IERC1271, ERC1155Holder {
    address public immutable owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature)
        external
        view
        returns (bytes4)
    {
        bool good = ECDSA.recoverCalldata(hash, signature) == owner;
        return good ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}

/// @title A contract that answers receipts of credits with the wrong word
contract RefusingHolder {
    function onERC1155Received(address, address, uint256, uint256, bytes calldata)
        external
        pure
        returns (bytes4)
    {
        return 0xdeadbeef;
    }
}

/// @title A contract that retires what it receives in the very moment of receiving it
contract RetiringHolder is ERC1155Holder {
    function onERC1155Received(
        address operator,
        address from,
        uint256 id,
        uint256 value,
        bytes memory data
    ) public override returns (bytes4) {
        ICarbonCredit.Retirement memory details;
        ICarbonCredit(msg.sender).retire(bytes32("at once"), id, uint64(value), details);
        return super.onERC1155Received(operator, from, id, value, data);
    }
}

/// @title A contract that cannot receive credits
contract DeafHolder {}
