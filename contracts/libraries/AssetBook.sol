// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";

import {ISettlementEscrow} from "../interfaces/ISettlementEscrow.sol";

/// @title Who has how much of one asset in escrow, and how much of it is locked
library AssetBook {
    /// @param held what belongs to somebody: all balances and all that is locked
    /// @param locked what left the balances of debtors and has not reached the creditors
    struct Book {
        mapping(address account => uint256 units) balanceOf;
        uint256 held;
        uint256 locked;
    }

    /// @notice Adds to the balance of an account.
    function credit(Book storage self, address account, uint256 units)
        internal
        returns (uint256 balance)
    {
        balance = self.balanceOf[account] + units;
        self.balanceOf[account] = balance;
    }

    /// @notice Takes from the balance of an account, which has that much.
    function debit(Book storage self, uint256 asset, address account, uint256 units)
        internal
        returns (uint256 balance)
    {
        balance = self.balanceOf[account];
        if (balance < units) {
            revert ISettlementEscrow.InsufficientBalance(account, asset, balance, units);
        }
        unchecked {
            balance -= units;
        }
        self.balanceOf[account] = balance;
    }

    /// @notice Takes from the debtors what they owe on the whole.
    /// @param nets what each account gains
    /// @param unit how many base units of the asset one of the nets is
    function lock(
        Book storage self,
        uint256 asset,
        address[] memory accounts,
        int256[] memory nets,
        uint256 unit
    ) internal {
        uint256 locked;
        for (uint256 i; i < nets.length; ++i) {
            int256 net = nets[i];
            if (net >= 0) continue;
            uint256 units = SignedMath.abs(net) * unit;
            debit(self, asset, accounts[i], units);
            locked += units;
        }
        self.locked += locked;
    }

    /// @notice Gives what was locked to the creditors, or back to the debtors.
    /// @return fee what the creditors do not gain of it, in the unit of the nets
    function unlock(
        Book storage self,
        address[] memory accounts,
        int256[] memory nets,
        uint256 unit,
        bool toCreditors
    ) internal returns (uint256 fee) {
        uint256 owed;
        uint256 gained;
        for (uint256 i; i < nets.length; ++i) {
            int256 net = nets[i];
            uint256 amount = SignedMath.abs(net);
            if (net < 0) owed += amount;
            else gained += amount;
            if (amount != 0 && net > 0 == toCreditors) credit(self, accounts[i], amount * unit);
        }
        self.locked -= owed * unit;
        return owed - gained;
    }
}
