// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC1155} from "@openzeppelin/contracts/token/ERC1155/IERC1155.sol";

import {IVppSettlement} from "../../../contracts/interfaces/IVppSettlement.sol";
import {Book} from "./Book.sol";
import {Test} from "./Test.sol";

/// @title All that VppSettlement answers to
interface ISettlement is IVppSettlement, IAccessControl {}

/// @title A currency that anyone mints
interface ICurrency is IERC20Metadata {
    function mint(address to, uint256 amount) external;
}

/// @title Credits that anyone mints and freezes
interface ICredits is IERC1155 {
    function mint(address to, uint256 id, uint256 amount) external;
    function freeze(uint256 id, bool frozen) external;
}

/// @title A settlement with its parties, and batches that are good
/// @dev The contract is deployed by its name, so that no suite needs compiling anew when it
/// changes.
abstract contract SettlementPark is Test {
    using Book for Book.Deal[];

    bytes32 internal constant OPERATOR = keccak256("OPERATOR_ROLE");
    bytes32 internal constant PAUSER = keccak256("PAUSER_ROLE");
    bytes32 internal constant ARBITER = keccak256("ARBITER_ROLE");
    bytes32 internal constant MEMBER = keccak256("MEMBER_ROLE");

    uint32 internal constant WINDOW = 600;
    uint32 internal constant TIMEOUT = 3600;
    uint64 internal constant BOND = 500; // cents
    uint64 internal constant NOTIONAL_CAP = 1e12; // cents
    uint64 internal constant CREDIT_CAP = 1e12; // kilograms
    uint256 internal constant UNIT = 1e4; // units per cent: six decimals
    uint256 internal constant START = 1_704_063_600;
    uint256 internal constant CASH = 0;
    uint256 internal constant CREDIT = uint256(1) << 32 | 1; // a batch of credits

    ISettlement internal settlement;
    ICurrency internal currency;
    ICredits internal credits;
    address internal admin;
    address internal operator;
    address internal pauser;
    address internal arbiter;
    address internal member;
    address internal collector;
    address internal stranger;

    /// @dev Ascending, as every batch wants them; and what they sign with.
    address[] internal parties;
    mapping(address party => uint256) internal keyOfParty;

    uint256 private _numbers;

    function buildSettlement(uint256 count) internal {
        vm.warp(START);
        admin = accountOf("admin");
        operator = accountOf("operator");
        pauser = accountOf("pauser");
        arbiter = accountOf("arbiter");
        member = accountOf("member");
        collector = accountOf("collector");
        stranger = accountOf("stranger");
        _makeParties(count);
        currency = ICurrency(vm.deployCode("Currencies.sol:PlainCurrency", abi.encode(uint8(6))));
        credits = ICredits(deployCredits());
        settlement = ISettlement(
            vm.deployCode(
                "VppSettlement.sol:VppSettlement",
                abi.encode(
                    admin,
                    uint48(0),
                    currency,
                    credits,
                    WINDOW,
                    TIMEOUT,
                    BOND,
                    NOTIONAL_CAP,
                    CREDIT_CAP,
                    collector
                )
            )
        );
        vm.startPrank(admin);
        settlement.grantRole(OPERATOR, operator);
        settlement.grantRole(PAUSER, pauser);
        settlement.grantRole(ARBITER, arbiter);
        settlement.grantRole(MEMBER, member);
        vm.stopPrank();
    }

    function deployCredits() internal virtual returns (address) {
        return vm.deployCode("Credits.sol:PlainCredits", "");
    }

    function _makeParties(uint256 count) private {
        delete parties;
        for (uint256 key = 1; key <= count; ++key) {
            address account = vm.addr(key);
            keyOfParty[account] = key;
            parties.push(account);
            for (uint256 i = parties.length - 1; i > 0 && parties[i] < parties[i - 1]; --i) {
                (parties[i], parties[i - 1]) = (parties[i - 1], parties[i]);
            }
        }
    }

    function newKey() internal returns (bytes32) {
        return keccak256(abi.encode("key", address(this), ++_numbers));
    }

    // -------------------------------------------------------------------- acts

    function deposit(address account, uint256 cents) internal {
        currency.mint(account, cents * UNIT);
        vm.startPrank(account);
        currency.approve(address(settlement), cents * UNIT);
        settlement.deposit(account, cents * UNIT);
        vm.stopPrank();
    }

    function depositCredits(address account, uint256 amount) internal {
        credits.mint(account, CREDIT, amount);
        vm.prank(account);
        credits.safeTransferFrom(account, address(settlement), CREDIT, amount, "");
    }

    function propose(bytes32 key, uint256 asset, Book.Deal[] memory deals)
        internal
        returns (uint256 batchId)
    {
        uint256[] memory words = deals.words();
        vm.prank(operator);
        return settlement.proposeBatch(key, asset, parties, words);
    }

    function finalize(uint256 batchId, IVppSettlement.Outcome memory outcome) internal {
        vm.prank(stranger);
        settlement.finalizeBatch(batchId, outcome);
    }

    function cancel(
        uint256 batchId,
        IVppSettlement.Outcome memory outcome,
        Book.Deal[] memory deals
    ) internal {
        uint256[] memory words = deals.words();
        vm.prank(operator);
        settlement.cancelBatch(batchId, outcome, words, "reason");
    }

    /// @dev What trades come to, at a fee.
    function outcomeOf(uint256 asset, Book.Deal[] memory deals, uint256 feeBps)
        internal
        view
        returns (IVppSettlement.Outcome memory outcome)
    {
        outcome.accounts = parties;
        outcome.nets = deals.nets(parties.length);
        for (uint256 i; i < parties.length; ++i) {
            int256 net = outcome.nets[i];
            if (net > 0) outcome.nets[i] = net - net * int256(feeBps) / 10_000;
        }
        if (asset != CASH) outcome.creditNets = deals.creditNets(parties.length);
    }

    /// @dev What all parties sign, and their signatures in the order of the accounts.
    function cosigned(bytes32 key, uint256 asset, Book.Deal[] memory deals)
        internal
        view
        returns (IVppSettlement.Settlement memory wanted, bytes[] memory signatures)
    {
        wanted = IVppSettlement.Settlement({
            key: key,
            asset: asset,
            accounts: parties,
            words: deals.words(),
            deadline: uint64(block.timestamp)
        });
        bytes32 digest = digestOf(wanted);
        signatures = new bytes[](parties.length);
        for (uint256 i; i < parties.length; ++i) {
            (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOfParty[parties[i]], digest);
            signatures[i] = abi.encodePacked(r, s, v);
        }
    }

    /// @dev The EIP-712 digest of a settlement, field by field.
    function digestOf(IVppSettlement.Settlement memory wanted) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Truetonne VppSettlement"),
                keccak256("1"),
                block.chainid,
                address(settlement)
            )
        );
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "Settlement(bytes32 key,uint256 asset,address[] accounts,uint256[] words,uint64 deadline)"
                ),
                wanted.key,
                wanted.asset,
                keccak256(abi.encodePacked(wanted.accounts)),
                keccak256(abi.encodePacked(wanted.words)),
                wanted.deadline
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }
}
