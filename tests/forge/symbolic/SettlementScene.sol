// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {VppSettlement} from "../../../contracts/VppSettlement.sol";
import {IVppSettlement} from "../../../contracts/interfaces/IVppSettlement.sol";
import {PlainCredits} from "../../../contracts/mocks/Credits.sol";
import {PermitCurrency} from "../../../contracts/mocks/Currencies.sol";
import {Book} from "../base/Book.sol";
import {Symbolic} from "../base/Symbolic.sol";

/// @title A settlement with a batch in every state, and a party for every role
/// @dev Three accounts have cash and credits, and currency that the contract may take. Batch 1 is
/// proposed, batch 2 disputed, batch 3 cancelled.
abstract contract SettlementScene is Symbolic {
    VppSettlement internal settlement;
    PermitCurrency internal currency;
    PlainCredits internal credits;

    address internal constant ADMIN = address(0xad);
    address internal constant OPERATOR = address(0x09);
    address internal constant PAUSER = address(0x0f);
    address internal constant ARBITER = address(0xab);
    address internal constant MEMBER = address(0x3e);
    address internal constant COLLECTOR = address(0xfe);
    address internal constant FIRST = address(0xa1);
    address internal constant SECOND = address(0xb0);
    address internal constant THIRD = address(0xc0); // has cash, and no trade

    uint256 internal constant CREDIT = 7; // a batch of credits
    uint256 internal constant HELD = 1_000_000;
    uint256 internal constant CENTS = 12_500; // of each trade; the buyer is the first one
    uint64 internal constant BOND = 500;
    uint32 internal constant WINDOW = 600;
    uint32 internal constant TIMEOUT = 3600;

    uint256 internal free; // what the first one has left in cash

    function setUp() public {
        vm.warp(2_000_000_000);
        currency = new PermitCurrency();
        credits = new PlainCredits();
        settlement = new VppSettlement(
            ADMIN,
            0,
            address(currency),
            address(credits),
            WINDOW,
            TIMEOUT,
            BOND,
            type(uint64).max,
            type(uint64).max,
            COLLECTOR
        );
        vm.startPrank(ADMIN);
        settlement.grantRole(keccak256("OPERATOR_ROLE"), OPERATOR);
        settlement.grantRole(keccak256("PAUSER_ROLE"), PAUSER);
        settlement.grantRole(keccak256("ARBITER_ROLE"), ARBITER);
        settlement.grantRole(keccak256("MEMBER_ROLE"), MEMBER);
        vm.stopPrank();
        _fund(FIRST);
        _fund(SECOND);
        _fund(THIRD);
        for (uint64 number = 1; number <= 3; ++number) {
            vm.prank(OPERATOR);
            settlement.proposeBatch(bytes32(uint256(number)), 0, parties(), wordsOf(number));
        }
        IVppSettlement.Trade memory trade = tradeOf(2);
        vm.prank(SECOND);
        settlement.disputeTrade(2, trade, new bytes32[](0));
        vm.prank(OPERATOR);
        settlement.cancelBatch(3, outcomeOf(), wordsOf(3), "");
        free = HELD - 2 * CENTS;
    }

    // ------------------------------------------------------------------- helpers

    function refusedTo(address caller, address party, bytes memory data) internal {
        vm.assume(caller != party);
        vm.assertTrue(!tryCall(caller, address(settlement), data), "not refused");
    }

    function works(address party, bytes memory data) internal {
        vm.assertTrue(tryCall(party, address(settlement), data), "refused to the party");
    }

    function _fund(address account) private {
        currency.mint(account, 2 * HELD);
        credits.mint(account, CREDIT, HELD);
        vm.startPrank(account);
        currency.approve(address(settlement), type(uint256).max);
        settlement.deposit(account, HELD);
        credits.safeTransferFrom(account, address(settlement), CREDIT, HELD, "");
        vm.stopPrank();
    }

    function parties() internal pure returns (address[] memory accounts) {
        accounts = new address[](2);
        (accounts[0], accounts[1]) = (FIRST, SECOND);
    }

    function _deal(uint64 seq) private pure returns (Book.Deal memory) {
        return Book.Deal({seq: seq, buyer: 0, seller: 1, quantity: 25_000, price: 50_000});
    }

    function wordsOf(uint64 seq) internal pure returns (uint256[] memory words) {
        words = new uint256[](1);
        words[0] = Book.word(_deal(seq));
    }

    function tradeOf(uint64 seq) internal pure returns (IVppSettlement.Trade memory) {
        return Book.trade(_deal(seq), parties());
    }

    function outcomeOf() internal pure returns (IVppSettlement.Outcome memory outcome) {
        outcome.accounts = parties();
        outcome.nets = new int256[](2);
        (outcome.nets[0], outcome.nets[1]) = (-int256(CENTS), int256(CENTS));
    }
}
