// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {VppSettlement} from "../../../contracts/VppSettlement.sol";
import {IVppSettlement} from "../../../contracts/interfaces/IVppSettlement.sol";
import {ISettlementEscrow} from "../../../contracts/interfaces/ISettlementEscrow.sol";
import {PlainCredits} from "../../../contracts/mocks/Credits.sol";
import {PlainCurrency} from "../../../contracts/mocks/Currencies.sol";
import {Symbolic} from "../base/Symbolic.sol";

/// @title Properties of VppSettlement, for all amounts, callers and trades
/// @dev Two parties with symbolic balances; a batch of one trade whose word is symbolic.
contract SettlementProperties is Symbolic {
    VppSettlement private settlement;
    PlainCurrency private currency;
    PlainCredits private credits;

    address private constant ADMIN = address(0xad);
    address private constant OPERATOR = address(0x09);
    address private constant PAUSER = address(0x0f);
    address private constant FIRST = address(0xa1);
    address private constant SECOND = address(0xb0);
    address private constant ARBITER = address(0xab);
    address private constant COLLECTOR = address(0xfe);
    uint32 private constant WINDOW = 600;
    uint64 private constant BOND = 500;

    uint256 private _held; // each party's deposit

    function setUp() public {
        vm.warp(2_000_000_000);
        currency = new PlainCurrency(2);
        credits = new PlainCredits();
        settlement = new VppSettlement(
            ADMIN,
            0,
            address(currency),
            address(credits),
            WINDOW,
            3600,
            BOND,
            type(uint64).max,
            type(uint64).max,
            COLLECTOR
        );
        vm.startPrank(ADMIN);
        settlement.grantRole(keccak256("OPERATOR_ROLE"), OPERATOR);
        settlement.grantRole(keccak256("PAUSER_ROLE"), PAUSER);
        settlement.grantRole(keccak256("ARBITER_ROLE"), ARBITER);
        vm.stopPrank();
        _held = svm.createUint256("held");
        vm.assume(_held > 0 && _held < 1 << 100);
        _deposit(FIRST);
        _deposit(SECOND);
    }

    /// @notice VS-01, VS-04: a deposit credits what arrives, and nobody else.
    function check_depositConserves(address account, uint128 amount) external {
        currency.mint(ADMIN, amount);
        vm.prank(ADMIN);
        currency.approve(address(settlement), amount);
        uint256 before = settlement.balanceOf(account);
        bytes memory data = abi.encodeCall(ISettlementEscrow.deposit, (account, amount));
        if (!tryCall(ADMIN, address(settlement), data)) return;
        vm.assertEq(settlement.balanceOf(account), before + amount, "credited");
        vm.assertEq(settlement.totalBalance(), 2 * _held + amount, "the total");
        vm.assertEq(currency.balanceOf(address(settlement)), 2 * _held + amount, "custody");
    }

    /// @notice VS-03, VS-04, VS-32: only an account itself takes money out, and never too much.
    function check_withdrawConserves(address caller, address to, uint256 amount) external {
        bytes memory data = abi.encodeCall(ISettlementEscrow.withdraw, (to, amount));
        if (!tryCall(caller, address(settlement), data)) return;
        vm.assertTrue(caller == FIRST || caller == SECOND, "who");
        vm.assertEq(settlement.balanceOf(caller), _held - amount, "what is left");
        vm.assertEq(settlement.balanceOf(caller == FIRST ? SECOND : FIRST), _held, "the other");
        vm.assertEq(currency.balanceOf(address(settlement)), 2 * _held - amount, "custody");
        vm.assertEq(settlement.totalBalance(), 2 * _held - amount, "the total");
    }

    /// @notice VS-03, VS-30: what an account has, it can withdraw, paused or not.
    function check_holderCanAlwaysWithdraw(uint256 amount, bool paused) external {
        vm.assume(amount > 0 && amount <= _held);
        if (paused) {
            vm.prank(PAUSER);
            settlement.pause();
        }
        bytes memory data = abi.encodeCall(ISettlementEscrow.withdraw, (FIRST, amount));
        vm.assertTrue(tryCall(FIRST, address(settlement), data), "refused");
    }

    /// @notice VS-04, VS-17, VS-18: a proposal locks what the debtor owes, has it, and moves no
    /// more.
    function check_proposeConserves(bytes32 key) external {
        uint256 word = _word("word");
        if (!_propose(key, word)) return;
        int256 cents = int64(uint64(word));
        uint256 size = uint256(cents < 0 ? -cents : cents);
        vm.assertTrue(size <= _held, "insolvent");
        vm.assertEq(settlement.totalLocked(), size, "locked");
        uint256 both = settlement.balanceOf(FIRST) + settlement.balanceOf(SECOND);
        vm.assertEq(both, 2 * _held - size, "what is left");
        vm.assertTrue(settlement.isSettled(uint64(word >> 192)), "marked");
    }

    /// @notice VS-11, VS-16: neither a trade nor a key is taken twice.
    function check_noDoubleSettlement(bytes32 key, bytes32 again) external {
        (uint256 word, uint256 other) = (_word("word"), _word("other"));
        vm.assume(key == again || word >> 192 == other >> 192);
        if (!_propose(key, word)) return;
        vm.assertTrue(!_propose(again, other), "settled twice");
    }

    /// @notice VS-18, VS-20: a finalization pays the creditor what the debtor owed.
    function check_finalizeConserves() external {
        uint256 word = _word("word");
        if (!_propose("key", word)) return;
        int256[] memory nets = _nets(word);
        vm.warp(block.timestamp + WINDOW);
        settlement.finalizeBatch(1, _outcome(nets));
        vm.assertEq(settlement.totalLocked(), 0, "locked");
        vm.assertEq(settlement.balanceOf(FIRST), uint256(int256(_held) + nets[0]), "first");
        vm.assertEq(settlement.balanceOf(SECOND), uint256(int256(_held) + nets[1]), "second");
    }

    /// @notice VS-20: nobody finalizes early, or with other nets.
    function check_finalizeNeitherEarlyNorOther(int256 a, int256 b, uint64 wait) external {
        uint256 word = _word("word");
        if (!_propose("key", word)) return;
        int256[] memory nets = _nets(word);
        vm.assume(wait < WINDOW || a != nets[0] || b != nets[1]);
        (nets[0], nets[1]) = (a, b);
        vm.assume(wait < 1 << 40);
        vm.warp(block.timestamp + wait);
        bytes memory data = abi.encodeCall(IVppSettlement.finalizeBatch, (1, _outcome(nets)));
        vm.assertTrue(!tryCall(OPERATOR, address(settlement), data), "finalized");
    }

    /// @notice VS-22: a cancellation restores balances and marks exactly.
    function check_cancelRestores() external {
        uint256 word = _word("word");
        if (!_propose("key", word)) return;
        uint256[] memory words = new uint256[](1);
        words[0] = word;
        vm.prank(OPERATOR);
        settlement.cancelBatch(1, _outcome(_nets(word)), words, "");
        vm.assertEq(settlement.balanceOf(FIRST), _held, "first");
        vm.assertEq(settlement.balanceOf(SECOND), _held, "second");
        vm.assertEq(settlement.totalLocked(), 0, "locked");
        vm.assertTrue(!settlement.isSettled(uint64(word >> 192)), "marked");
    }

    function _deposit(address account) private {
        currency.mint(account, _held);
        vm.startPrank(account);
        currency.approve(address(settlement), _held);
        settlement.deposit(account, _held);
        vm.stopPrank();
    }

    function _propose(bytes32 key, uint256 word) private returns (bool) {
        uint256[] memory words = new uint256[](1);
        words[0] = word;
        bytes memory data =
            abi.encodeCall(IVppSettlement.proposeBatch, (key, 0, _accounts(), words));
        return tryCall(OPERATOR, address(settlement), data);
    }

    /// @dev Any trade of the two, either way round; places in the list are written out, since they
    /// become addresses in memory.
    function _word(string memory name) private pure returns (uint256 word) {
        word = svm.createUint256(name) & ~(uint256(type(uint32).max) << 160);
        return svm.createBool("turned") ? word | 1 << 176 : word | 1 << 160;
    }

    function _outcome(int256[] memory nets)
        private
        pure
        returns (IVppSettlement.Outcome memory outcome)
    {
        (outcome.accounts, outcome.nets) = (_accounts(), nets);
    }

    function _accounts() private pure returns (address[] memory accounts) {
        accounts = new address[](2);
        (accounts[0], accounts[1]) = (FIRST, SECOND);
    }

    /// @dev The buyer, whose place stands from bit 176 on, pays the cents.
    function _nets(uint256 word) private pure returns (int256[] memory nets) {
        nets = new int256[](2);
        int256 cents = int64(uint64(word));
        bool turned = word >> 176 & 1 == 1;
        (nets[0], nets[1]) = turned ? (cents, -cents) : (-cents, cents);
    }
}
