// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

import {IVppSettlement} from "../../../contracts/interfaces/IVppSettlement.sol";
import {Book} from "../base/Book.sol";
import {ISettlement, SettlementPark} from "../base/SettlementPark.sol";

/// @title A currency that calls who sends and who receives (as ERC-777 does), shuts accounts out, and
/// takes or gives balances in the middle of a transfer
contract WildCurrency is ERC20("Wild", "WLD") {
    mapping(address account => bool) public shut;
    address private _shifted;
    int256 private _by;

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function shutOut(address account) external {
        shut[account] = true;
    }

    function shiftOnce(address account, int256 by) external {
        (_shifted, _by) = (account, by);
    }

    function _update(address from, address to, uint256 amount) internal override {
        require(!shut[from] && !shut[to], "shut out");
        _tell(from);
        super._update(from, to, amount);
        _tell(to);
        int256 by = _by;
        if (by == 0 || from == address(0) || to == address(0)) return;
        _by = 0;
        if (by > 0) _mint(_shifted, uint256(by));
        else _burn(_shifted, uint256(-by));
    }

    function _tell(address account) private {
        if (account.code.length == 0) return;
        try Thief(account).told() {} catch {}
    }
}

/// @title A contract that calls what it was told to when the currency calls it
contract Thief {
    address private _target;
    bytes private _call;
    uint256 public attempts;
    bool public succeeded;

    function arm(address target, bytes calldata call_) external {
        (_target, _call) = (target, call_);
    }

    function told() external {
        address target = _target;
        if (target == address(0)) return;
        _target = address(0);
        ++attempts;
        (succeeded,) = target.call(_call);
    }

    function run(address target, bytes calldata call_) external {
        (bool ok,) = target.call(call_);
        require(ok, "refused");
    }
}

/// @title A contract that answers every call with the same words, or with a failure
contract Parrot {
    bytes private _answer;
    bool private _fails;

    constructor(bytes memory answer, bool fails) {
        (_answer, _fails) = (answer, fails);
    }

    fallback() external {
        bytes memory answer = _answer;
        bool fails = _fails;
        assembly ("memory-safe") {
            if fails { revert(add(answer, 0x20), mload(answer)) }
            return(add(answer, 0x20), mload(answer))
        }
    }
}

/// @title A contract that burns all gas that it is given
contract Furnace {
    fallback() external {
        while (true) {}
    }
}

/// @title What attackers have tried on other settlements, by currencies and by wallets
contract HostileTest is SettlementPark {
    WildCurrency private wild;
    ISettlement private victim;
    Thief private thief;

    function setUp() public {
        buildSettlement(2);
        wild = new WildCurrency();
        victim = ISettlement(
            vm.deployCode(
                "VppSettlement.sol:VppSettlement",
                abi.encode(admin, 0, wild, credits, WINDOW, TIMEOUT, BOND, 1, 1, collector)
            )
        );
        thief = new Thief();
        wild.mint(address(thief), 1000 * UNIT);
        thief.run(address(wild), abi.encodeCall(wild.approve, (address(victim), 1000 * UNIT)));
        thief.run(address(victim), abi.encodeCall(victim.deposit, (address(thief), 500 * UNIT)));
        credits.mint(parties[0], CREDIT, 1);
        vm.prank(parties[0]);
        credits.safeTransferFrom(parties[0], address(victim), CREDIT, 1, abi.encode(thief));
        wild.mint(parties[0], 500 * UNIT);
        vm.startPrank(parties[0]);
        wild.approve(address(victim), 500 * UNIT);
        victim.deposit(parties[0], 500 * UNIT);
        vm.stopPrank();
    }

    /// @notice VS-04, VS-05: who is called in the middle of a deposit or a withdrawal enters neither.
    function testNothingIsEnteredTwice() public {
        bytes memory deposit_ = abi.encodeCall(victim.deposit, (address(thief), 10 * UNIT));
        bytes memory withdraw_ = abi.encodeCall(victim.withdraw, (address(thief), 10 * UNIT));
        bytes memory credits_ = abi.encodeCall(victim.withdrawCredits, (stranger, CREDIT, 1));
        _fails(deposit_, deposit_);
        _fails(deposit_, withdraw_);
        _fails(deposit_, credits_);
        _fails(withdraw_, deposit_);
        _fails(withdraw_, withdraw_);
        _fails(withdraw_, credits_);
    }

    /// @notice VS-01, VS-04: a gift in the middle of a deposit is part of it, and the giver's own; one
    /// in the middle of a withdrawal is nobody's.
    function testAGiftMovesNothingOfOthers() public {
        bytes memory gift = abi.encodeCall(wild.transfer, (address(victim), 7 * UNIT));
        thief.arm(address(wild), gift);
        thief.run(address(victim), abi.encodeCall(victim.deposit, (address(thief), 10 * UNIT)));
        vm.assertEq(victim.balanceOf(address(thief)), 517 * UNIT, "deposit and gift");
        thief.arm(address(wild), gift);
        thief.run(address(victim), abi.encodeCall(victim.withdraw, (address(thief), 10 * UNIT)));
        vm.assertEq(victim.balanceOf(address(thief)), 507 * UNIT, "the withdrawal alone");
        vm.assertEq(thief.attempts(), 2, "gifts");
        _isSolvent();
    }

    /// @notice VS-04, VS-05: what is taken of the contract's balance in the middle of a deposit or a
    /// withdrawal is borne by who asked for it.
    function testWhatIsTakenMeanwhileIsBorneByWhoAsked() public {
        wild.shiftOnce(address(victim), -int256(10 * UNIT));
        thief.run(address(victim), abi.encodeCall(victim.withdraw, (address(thief), 100 * UNIT)));
        vm.assertEq(victim.balanceOf(address(thief)), 390 * UNIT, "after a withdrawal");
        wild.shiftOnce(address(victim), -int256(10 * UNIT));
        thief.run(address(victim), abi.encodeCall(victim.deposit, (address(thief), 100 * UNIT)));
        vm.assertEq(victim.balanceOf(address(thief)), 480 * UNIT, "after a deposit");
        _isSolvent();
        wild.shiftOnce(address(victim), -int256(20 * UNIT));
        vm.expectRevert();
        thief.run(address(victim), abi.encodeCall(victim.deposit, (address(thief), 10 * UNIT)));
        vm.assertEq(victim.balanceOf(parties[0]), 500 * UNIT, "of another");
    }

    /// @notice VS-03: whom the currency shuts out has its balance still, and can have another paid.
    function testWhoIsShutOutHasAnotherPaid() public {
        wild.shutOut(parties[0]);
        vm.startPrank(parties[0]);
        vm.expectRevert();
        victim.withdraw(parties[0], 500 * UNIT);
        vm.assertEq(victim.balanceOf(parties[0]), 500 * UNIT, "kept");
        victim.withdraw(stranger, 500 * UNIT);
        vm.stopPrank();
        vm.assertEq(wild.balanceOf(stranger), 500 * UNIT, "paid");
        _isSolvent();
    }

    /// @notice VS-40: no answer but ERC-1271's own word is a signature; nor is a contract's that is
    /// asked something else, a precompile's, or that of one that is not there.
    function testOtherWordsAreNoSignature() public {
        bytes4 word = IERC1271.isValidSignature.selector;
        address[9] memory wallets = [
            address(new Parrot(abi.encode(uint256(1)), false)),
            address(new Parrot(abi.encode(bytes32(word) | bytes32(uint256(1))), false)),
            address(new Parrot(abi.encodePacked(word), false)),
            address(new Parrot(abi.encode(word), true)),
            address(new Furnace()),
            address(settlement),
            address(credits),
            address(currency),
            address(0xdead)
        ];
        for (uint256 i; i < wallets.length; ++i) {
            vm.assertTrue(!_settles(wallets[i]), "no signature");
        }
        for (uint160 i = 1; i < 0x12; ++i) {
            vm.assertTrue(!_settles(address(i)), "a precompile");
        }
        vm.assertTrue(!_settles(address(0x100)), "P-256");
        vm.assertTrue(_settles(address(new Parrot(abi.encode(word), false))), "its word");
    }

    /// @notice VS-40: of a wallet's answer no more is taken than one word, however long it is.
    function testALongAnswerCostsItsWallet() public {
        bytes memory long = new bytes(24_000);
        bytes4 word = IERC1271.isValidSignature.selector;
        assembly ("memory-safe") {
            mstore(add(long, 0x20), word)
        }
        vm.assertTrue(_settles(address(new Parrot(long, false))), "settled");
    }

    function _fails(bytes memory outer, bytes memory inner) private {
        uint256 before = thief.attempts();
        thief.arm(address(victim), inner);
        thief.run(address(victim), outer);
        vm.assertEq(thief.attempts(), before + 1, "attempts");
        vm.assertTrue(!thief.succeeded(), "entered");
        _isSolvent();
    }

    /// @dev Whether a batch of nothing between a wallet and a party is settled, with an empty signature.
    function _settles(address wallet) private returns (bool settled) {
        bool first = wallet < parties[0];
        IVppSettlement.Settlement memory wanted;
        wanted.key = newKey();
        wanted.accounts = new address[](2);
        (wanted.accounts[0], wanted.accounts[1]) =
            first ? (wallet, parties[0]) : (parties[0], wallet);
        wanted.words = new uint256[](1);
        wanted.words[0] = Book.word(Book.Deal(uint64(uint160(wallet)), 0, 1, 1, 0));
        wanted.deadline = uint64(block.timestamp);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOfParty[parties[0]], digestOf(wanted));
        bytes[] memory signatures = new bytes[](2);
        signatures[first ? 1 : 0] = abi.encodePacked(r, s, v);
        vm.prank(member);
        (settled,) = address(settlement).call{gas: 8_000_000}(
            abi.encodeCall(settlement.settleCosigned, (wanted, signatures))
        );
    }

    function _isSolvent() private view {
        uint256 owed = victim.totalBalance() + victim.totalLocked();
        vm.assertGe(wild.balanceOf(address(victim)), owed, "custody");
    }
}
