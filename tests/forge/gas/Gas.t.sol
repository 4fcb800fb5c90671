// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {ICreditOversight} from "../../../contracts/interfaces/ICreditOversight.sol";
import {IVppSettlement} from "../../../contracts/interfaces/IVppSettlement.sol";
import {Book} from "../base/Book.sol";
import {CreditPark} from "../base/CreditPark.sol";
import {SettlementPark} from "../base/SettlementPark.sol";

/// @title What an act of CarbonCredit costs, each in a transaction of its own
/// @dev Run with `--isolate`: calls are transactions then, with their base fee and their calldata,
/// and nothing is warm. In a steady state: neither the first batch nor the first retirement.
contract CreditGas is CreditPark {
    uint256 private constant DEPTH = 14;

    uint256 private _batchId;
    ICreditOversight.ProvenReading private _first;
    ICreditOversight.ProvenReading private _second;

    function setUp() public {
        buildPark();
        vm.prank(registrar);
        credit.registerSite(1, "beside the first");
        issue(goodClaim());
        _batchId = issue(goodClaim());
        retire(owner, _batchId, 1);
        transfer(owner, buyer, _batchId, 100);
        _issueOnReading(_first, 1);
        _issueOnReading(_second, 3);
    }

    /// @notice CC-20: a batch to a site that has one, with a verifier's signature and the log head.
    function testGasIssue() external {
        issue(goodClaim());
        vm.snapshotGasLastCall("credit", "issue a batch to an existing site");
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
        vm.snapshotGasLastCall("credit", "retire with beneficiary and text");
    }

    /// @notice CC-42: with a reason in the event.
    function testGasCancel() external {
        cancel(buyer, _batchId, 50);
        vm.snapshotGasLastCall("credit", "cancel");
    }

    /// @notice CC-71: two proofs of fourteen siblings each.
    function testGasProveOverlap() external {
        ICreditOversight.ProvenReading memory first = _first;
        ICreditOversight.ProvenReading memory second = _second;
        vm.prank(stranger);
        credit.proveOverlap(first, second);
        vm.snapshotGasLastCall("credit", "fraud proof, two depth-14 proofs");
    }

    function _issueOnReading(ICreditOversight.ProvenReading storage proven, uint32 siteId) private {
        ICarbonCredit.Claim memory claim = goodClaim();
        claim.siteId = siteId;
        claim.periodStart = START + 3 * MONTH;
        claim.periodEnd = claim.periodStart + MONTH;
        proven.reading = readingOf(claim, "meter");
        bytes32 node = leafOf(proven.reading);
        for (uint256 i; i < DEPTH; ++i) {
            bytes32 sibling = keccak256(abi.encode(siteId, i));
            proven.proof.push(sibling);
            node = node < sibling
                ? keccak256(bytes.concat(node, sibling))
                : keccak256(bytes.concat(sibling, node));
        }
        claim.evidenceRoot = proven.evidenceRoot = node;
        issue(claim);
    }
}

/// @title What an act of VppSettlement costs, each in a transaction of its own
/// @dev In a steady state: every party has a balance of both kinds, batches came before.
contract SettlementGas is SettlementPark {
    using Book for Book.Deal[];

    function setUp() public {
        buildSettlement(20);
        for (uint256 i; i < parties.length; ++i) {
            deposit(parties[i], 1e10);
            depositCredits(parties[i], 1e10);
        }
        Book.Deal[] memory deals = _deals(100, 1);
        propose(newKey(), CREDIT, deals);
        vm.warp(block.timestamp + WINDOW);
        finalize(1, outcomeOf(CREDIT, deals, 0));
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

    /// @notice VS-27: one trade by itself, energy for cash and then credits for cash.
    function testGasSettleOne() external {
        Book.Deal[] memory deals = _deals(2, 101);
        vm.prank(operator);
        settlement.settleOne(CASH, Book.trade(deals[0], parties));
        vm.snapshotGasLastCall("settlement", "one single trade, gross");
        vm.prank(operator);
        settlement.settleOne(CREDIT, Book.trade(deals[1], parties));
        vm.snapshotGasLastCall("settlement", "one single trade, gross, DvP");
    }

    /// @notice VS-23, VS-41: a thousand trades among twenty accounts, co-signed by all of them, DvP.
    function testGasCosignedThousand() external {
        (IVppSettlement.Settlement memory wanted, bytes[] memory signatures) =
            cosigned(newKey(), CREDIT, _deals(1000, 101));
        vm.prank(member);
        settlement.settleCosigned(wanted, signatures);
        uint256 gas = vm.snapshotGasLastCall("settlement", "co-signed, DvP, 1000 trades");
        vm.snapshotValue("settlement", "co-signed, DvP, per trade of 1000", gas / 1000);
    }

    /// @notice VS-23: a thousand trades among twenty accounts, proposed and then finalized, DvP.
    function testGasProposedThousand() external {
        Book.Deal[] memory deals = _deals(1000, 101);
        propose(newKey(), CREDIT, deals);
        uint256 gas = vm.snapshotGasLastCall("settlement", "propose, DvP, 1000 trades");
        vm.warp(block.timestamp + WINDOW);
        finalize(2, outcomeOf(CREDIT, deals, 0));
        gas += vm.snapshotGasLastCall("settlement", "finalize, DvP, 1000 trades");
        vm.snapshotValue("settlement", "proposed and finalized, DvP, per trade of 1000", gas / 1000);
    }

    /// @notice VS-22, VS-23: a thousand trades taken back.
    function testGasCancelThousand() external {
        Book.Deal[] memory deals = _deals(1000, 101);
        cancel(propose(newKey(), CREDIT, deals), outcomeOf(CREDIT, deals, 0), deals);
        vm.snapshotGasLastCall("settlement", "cancel, DvP, 1000 trades");
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
