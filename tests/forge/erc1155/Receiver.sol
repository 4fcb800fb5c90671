// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A contract that is sent ERC-1155 tokens, and answers as it was told to
contract Receiver {
    enum Answer {
        Good,
        Wrong,
        Silent,
        Text,
        Custom,
        Panic
    }

    error NotToday(uint256 code);

    Answer private immutable ANSWER;

    /// @dev What it was told the last time, as the calldata of the call.
    bytes public told;

    constructor(Answer answer) {
        ANSWER = answer;
    }

    function onERC1155Received(address, address, uint256, uint256, bytes calldata)
        external
        returns (bytes4)
    {
        return _answer(0xf23a6e61);
    }

    function onERC1155BatchReceived(
        address,
        address,
        uint256[] calldata,
        uint256[] calldata,
        bytes calldata
    ) external returns (bytes4) {
        return _answer(0xbc197c81);
    }

    function _answer(bytes4 good) private returns (bytes4) {
        told = msg.data;
        if (ANSWER == Answer.Wrong) return 0x00c0ffee;
        if (ANSWER == Answer.Silent) {
            assembly ("memory-safe") {
                revert(0, 0)
            }
        }
        if (ANSWER == Answer.Text) revert("not today");
        if (ANSWER == Answer.Custom) revert NotToday(7);
        if (ANSWER == Answer.Panic) assert(ANSWER == Answer.Good);
        return good;
    }
}

/// @title A contract that knows nothing of tokens
contract Deaf {}
