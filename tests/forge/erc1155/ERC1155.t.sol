// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";
import {IERC1155} from "@openzeppelin/contracts/token/ERC1155/IERC1155.sol";

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {CreditPark} from "../base/CreditPark.sol";
import {ERC1155Behaviour} from "./Behaviour.sol";

/// @title OpenZeppelin's ERC-1155, and nothing else
contract Plain is ERC1155("uri") {
    function mint(address to, uint256 id, uint256 amount) external {
        _mint(to, id, amount, "");
    }
}

/// @title The reference: OpenZeppelin's token behaves as the suite says
contract ReferenceERC1155Test is ERC1155Behaviour {
    function prepare() internal override {
        Plain plain = new Plain();
        (leftId, rightId) = (1990, 9_509_142);
        plain.mint(holder, leftId, LEFT);
        plain.mint(holder, rightId, RIGHT);
        token = IERC1155(address(plain));
    }
}

/// @title Ours: batches of credits behave as any other ERC-1155
contract CreditERC1155Test is ERC1155Behaviour, CreditPark {
    function prepare() internal override {
        buildPark();
        leftId = _issue(LEFT);
        rightId = _issue(RIGHT);
        token = IERC1155(address(credit));
    }

    function _issue(uint256 amount) private returns (uint256) {
        ICarbonCredit.Claim memory claim = goodClaim();
        claim.amount = uint64(amount);
        claim.recipient = holder;
        return issue(claim);
    }
}
