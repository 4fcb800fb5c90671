// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";

/// @title An ERC-1155 that anyone mints and anyone freezes
contract PlainCredits is ERC1155("") {
    mapping(uint256 id => bool) public frozen;

    function mint(address to, uint256 id, uint256 amount) external {
        _mint(to, id, amount, "");
    }

    function freeze(uint256 id, bool frozen_) external {
        frozen[id] = frozen_;
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
