// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Book} from "../base/Book.sol";
import {SettlementModel} from "./SettlementModel.sol";

/// @title What goes into the escrow and out of it, and its terms, each function once
/// @dev Nothing here may revert. Where the model says that the contract refuses, the refusal is
/// expected; where it says that the contract accepts, the act must go through.
abstract contract SettlementActs is SettlementModel {
    // ---------------------------------------------------------------- currency

    /// @dev With a permit that is none, half of the time: the allowance counts.
    function deposit(uint256 accountSeed, uint256 cents, bool withPermit) external {
        address account = anyParty(accountSeed);
        cents = bound(cents, 0, 1e7);
        uint256 units = cents * UNIT;
        currency.mint(stranger, units);
        vm.prank(stranger);
        currency.approve(address(settlement), units);
        if (pausedModel || units == 0) {
            vm.expectRevert();
        } else {
            balance[CASH][account] += units;
            deposited[CASH] += units;
        }
        vm.prank(stranger);
        if (withPermit) settlement.depositWithPermit(account, units, 0, 27, "r", "s");
        else settlement.deposit(account, units);
    }

    function withdraw(uint256 accountSeed, uint256 toSeed, uint256 units) external {
        (address account, address to) = (anyParty(accountSeed), anyParty(toSeed));
        units = bound(units, 0, balance[CASH][account] + UNIT);
        if (units % 3 != 0) units -= units % UNIT; // mostly whole cents
        if (units == 0 || units % UNIT != 0 || units > balance[CASH][account]) {
            vm.expectRevert();
        } else {
            balance[CASH][account] -= units;
            withdrawn[CASH] += units;
        }
        vm.prank(account);
        settlement.withdraw(to, units);
    }

    /// @dev Currency that nobody deposited belongs to nobody.
    function give(uint256 units) external {
        units = bound(units, 0, 1e9);
        given += units;
        currency.mint(address(settlement), units);
    }

    // ----------------------------------------------------------------- credits

    function depositCredits(uint256 fromSeed, uint256 toSeed, uint256 amount, bool named) external {
        (address from, address to) = (anyParty(fromSeed), anyParty(toSeed));
        amount = bound(amount, 0, 1e7);
        if (frozen) return; // the mock could not mint either
        credits.mint(from, CREDIT, amount);
        if (pausedModel || amount == 0) {
            vm.expectRevert();
        } else {
            balance[CREDIT][named ? to : from] += amount;
            deposited[CREDIT] += amount;
        }
        vm.prank(from);
        bytes memory data = named ? abi.encode(to) : bytes("");
        credits.safeTransferFrom(from, address(settlement), CREDIT, amount, data);
    }

    function depositCreditsInBatches(uint256 fromSeed, uint256 amount) external {
        address from = anyParty(fromSeed);
        if (frozen) return;
        uint256[] memory ids = new uint256[](2);
        uint256[] memory amounts = new uint256[](2);
        (ids[0], ids[1]) = (CREDIT, CREDIT);
        amounts[0] = bound(amount, 1, 1e6);
        amounts[1] = bound(amount / 3, 1, 1e6);
        credits.mint(from, CREDIT, amounts[0] + amounts[1]);
        if (pausedModel) {
            vm.expectRevert();
        } else {
            balance[CREDIT][from] += amounts[0] + amounts[1];
            deposited[CREDIT] += amounts[0] + amounts[1];
        }
        vm.prank(from);
        credits.safeBatchTransferFrom(from, address(settlement), ids, amounts, "");
    }

    function withdrawCredits(uint256 accountSeed, uint256 toSeed, uint256 amount) external {
        (address account, address to) = (anyParty(accountSeed), anyParty(toSeed));
        amount = bound(amount, 0, balance[CREDIT][account] + 1);
        if (frozen || amount == 0 || amount > balance[CREDIT][account]) {
            vm.expectRevert();
        } else {
            balance[CREDIT][account] -= amount;
            withdrawn[CREDIT] += amount;
        }
        vm.prank(account);
        settlement.withdrawCredits(to, CREDIT, amount);
    }

    /// @dev One time in four, as with pauses.
    function freeze(uint256 seed) external {
        frozen = seed % 4 == 0;
        credits.freeze(CREDIT, frozen);
    }

    // ------------------------------------------------------------------- terms

    function setFee(uint256 bps) external {
        bps = bound(bps, 0, 110);
        if (bps > 100) {
            vm.expectRevert();
        } else {
            feeModel = feeNow();
            nextFeeModel = bps;
            nextFeeFrom = block.timestamp + 7 days;
        }
        vm.prank(admin);
        settlement.setFee(uint16(bps), collector);
    }

    function setCaps(uint64 notional, uint64 quantity) external {
        notionalCapModel = notional % 3 == 0 ? notional : NOTIONAL_CAP;
        creditCapModel = quantity % 3 == 0 ? quantity : CREDIT_CAP;
        vm.prank(admin);
        settlement.setCaps(notionalCapModel, creditCapModel);
    }

    /// @dev One time in four, so that a campaign is not mostly paused.
    function pause(uint256 seed) external {
        if (seed % 4 != 0) return;
        if (pausedModel) {
            vm.expectRevert();
        } else {
            pausedModel = true;
            _pausedSince = block.timestamp;
        }
        vm.prank(pauser);
        settlement.pause();
    }

    function unpause() external {
        if (pausedModel) {
            pausedModel = false;
            _pausedSum += block.timestamp - _pausedSince;
        } else {
            vm.expectRevert();
        }
        vm.prank(admin);
        settlement.unpause();
    }

    /// @dev Mostly within a window, at times past the delay of a fee.
    function wait_(uint256 time) external {
        vm.warp(block.timestamp + (time % 8 == 0 ? 8 days : bound(time, 1, WINDOW)));
    }

    // ----------------------------------------------------------------- choosing

    /// @dev The highest number that was proposed; the next ones stand around 256 of them.
    uint64 internal _lastSeq = 200;

    /// @dev Trades with neighbouring and with far numbers, over more than one storage word of
    /// marks, at prices of both signs, some of a size that nobody has.
    function _deals(uint256 seed, uint256 count) internal returns (Book.Deal[] memory deals) {
        deals = new Book.Deal[](count);
        for (uint256 i; i < count; ++i) {
            seed = uint256(keccak256(abi.encode(seed, i)));
            _lastSeq += 1 + (seed % 5 == 0 ? uint64(seed >> 8) % 400 : 0);
            uint256 buyer = (seed >> 16) % parties.length;
            uint256 seller = (buyer + 1 + (seed >> 32) % (parties.length - 1)) % parties.length;
            deals[i] = Book.Deal({
                seq: _lastSeq,
                buyer: uint16(buyer),
                seller: uint16(seller),
                quantity: uint48((seed >> 64) % 1e6),
                price: int48(int256((seed >> 128) % 4e6) - 1e6)
            });
        }
    }
}
