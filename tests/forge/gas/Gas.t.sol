// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {Book} from "../base/Book.sol";
import {CreditPark} from "../base/CreditPark.sol";
import {SettlementPark} from "../base/SettlementPark.sol";

/// @title What an act of CarbonCredit costs, each in a transaction of its own
/// @dev Run with `--isolate`: calls are transactions then, with their base fee and their calldata,
/// and nothing is warm. In a steady state: neither the first batch nor the first retirement.
contract CreditGas is CreditPark {
    uint256 private _batchId;

    function setUp() public {
        buildPark();
        issue(goodClaim());
        _batchId = issue(goodClaim());
        retire(owner, _batchId, 1);
        transfer(owner, buyer, _batchId, 100);
    }

    /// @notice CC-20: a batch to a site that has one, with a verifier's signature and the log head.
    function testGasIssue() external {
        issue(goodClaim());
        vm.snapshotGasLastCall("credit", "issue");
    }

    /// @notice CC-31: units to somebody who has none of the batch.
    function testGasTransferToANewHolder() external {
        transfer(owner, stranger, _batchId, 1000);
        vm.snapshotGasLastCall("credit", "transfer to a new holder");
    }

    /// @notice CC-40, CC-44: with a beneficiary and a text in the event.
    function testGasRetire() external {
        ICarbonCredit.Retirement memory wanted = details();
        wanted.reason = "Scope 2 emissions of the year 2024";
        vm.prank(buyer);
        credit.retire("retirement", _batchId, 50, wanted);
        vm.snapshotGasLastCall("credit", "retire");
    }

    /// @notice CC-42: with a reason in the event.
    function testGasCancel() external {
        cancel(buyer, _batchId, 50);
        vm.snapshotGasLastCall("credit", "cancel");
    }
}

/// @title What an act of VppSettlement costs, each in a transaction of its own
contract SettlementGas is SettlementPark {
    using Book for Book.Deal[];

    uint256 private constant PARTIES = 20;

    function setUp() public {
        buildSettlement();
        delete parties;
        for (uint160 i = 1; i <= PARTIES; ++i) {
            parties.push(address(0xa000 + i));
            deposit(address(0xa000 + i), 1e9);
        }
        // What came before: its marks and its balances are there already.
        Book.Deal[] memory deals = _deals(100, 1);
        propose(newKey(), deals);
        vm.warp(block.timestamp + WINDOW);
        finalize(1, deals);
    }

    /// @notice VS-01: to an account that has a balance.
    function testGasDeposit() external {
        currency.mint(stranger, UNIT);
        vm.prank(stranger);
        currency.approve(address(settlement), UNIT);
        vm.prank(stranger);
        settlement.deposit(parties[0], UNIT);
        vm.snapshotGasLastCall("settlement", "deposit");
    }

    /// @notice VS-03: of a part of the balance.
    function testGasWithdraw() external {
        vm.prank(parties[0]);
        settlement.withdraw(stranger, UNIT);
        vm.snapshotGasLastCall("settlement", "withdraw");
    }

    /// @notice VS-23: a thousand trades among twenty accounts, proposed and then finalized.
    function testGasThousandTrades() external {
        Book.Deal[] memory deals = _deals(1000, 101);
        propose(newKey(), deals);
        uint256 gas = vm.snapshotGasLastCall("settlement", "propose 1000 trades");
        vm.warp(block.timestamp + WINDOW);
        finalize(2, deals);
        gas += vm.snapshotGasLastCall("settlement", "finalize 1000 trades");
        vm.snapshotValue("settlement", "propose and finalize, per trade of 1000", gas / 1000);
    }

    /// @notice VS-22, VS-23: a thousand trades taken back.
    function testGasCancelThousandTrades() external {
        Book.Deal[] memory deals = _deals(1000, 101);
        cancel(propose(newKey(), deals), deals);
        vm.snapshotGasLastCall("settlement", "cancel 1000 trades");
    }

    function _deals(uint256 count, uint64 first) private view returns (Book.Deal[] memory deals) {
        deals = new Book.Deal[](count);
        for (uint64 i; i < count; ++i) {
            uint256 buyer = (i * 7) % parties.length;
            deals[i] = Book.Deal({
                seq: first + i,
                buyer: uint16(buyer),
                seller: uint16((buyer + 1 + i % (parties.length - 1)) % parties.length),
                quantity: 12_345 + uint48(i),
                price: 543_210 - int48(uint48(i)) * 700
            });
        }
    }
}
