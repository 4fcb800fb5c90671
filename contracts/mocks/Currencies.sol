// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title An honest currency of any number of decimals
contract PlainCurrency is ERC20("Plain", "PLN") {
    uint8 private immutable DECIMALS;

    constructor(uint8 decimals_) {
        DECIMALS = decimals_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function decimals() public view virtual override returns (uint8) {
        return DECIMALS;
    }
}

/// @title A currency that keeps a fee of every transfer
contract FeeCurrency is PlainCurrency {
    uint256 public fee;

    constructor(uint8 decimals_, uint256 fee_) PlainCurrency(decimals_) {
        fee = fee_;
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (from != address(0) && to != address(0)) super._update(to, address(0xfee), fee);
    }
}

/// @title A currency that takes a fee from the sender of every transfer, beside the amount
contract SenderFeeCurrency is PlainCurrency {
    uint256 public fee;

    constructor(uint8 decimals_, uint256 fee_) PlainCurrency(decimals_) {
        fee = fee_;
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (from != address(0) && to != address(0)) super._update(from, address(0xfee), fee);
    }
}

/// @title A currency that says false instead of moving anything
contract FalseCurrency is PlainCurrency(2) {
    function transfer(address, uint256) public pure override returns (bool) {
        return false;
    }

    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @title A currency that claims to have moved what it has not
contract LyingCurrency is PlainCurrency(2) {
    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return true;
    }
}

/// @title A currency that moves the amount and returns nothing
contract SilentCurrency {
    uint8 public constant decimals = 2;
    mapping(address account => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @title A currency that calls back, once, in the middle of a transfer
contract ReenteringCurrency is PlainCurrency(2) {
    address private _target;
    bytes private _call;

    function arm(address target, bytes calldata call_) external {
        _target = target;
        _call = call_;
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        address target = _target;
        if (target == address(0)) return;
        _target = address(0);
        (bool ok, bytes memory answer) = target.call(_call);
        if (ok) return;
        assembly ("memory-safe") {
            revert(add(answer, 0x20), mload(answer))
        }
    }
}

/// @title A currency whose holders approve by signature
contract PermitCurrency is PlainCurrency(2), ERC20Permit("Plain") {
    function decimals() public view override(ERC20, PlainCurrency) returns (uint8) {
        return super.decimals();
    }
}

/// @title A currency that answers each permit with a panic
contract PanickingCurrency is PlainCurrency(2) {
    function permit(address, address, uint256, uint256, uint8, bytes32, bytes32) external pure {
        assert(false);
    }
}
