// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";

import {IVppSettlement} from "../../../contracts/interfaces/IVppSettlement.sol";
import {Book} from "./Book.sol";
import {Test} from "./Test.sol";

/// @title All that VppSettlement answers to
interface ISettlement is IVppSettlement, IAccessControl {}

/// @title A currency that anyone mints
interface ICurrency is IERC20Metadata {
    function mint(address to, uint256 amount) external;
}

/// @title A settlement with its parties, and batches that are good
/// @dev The contract is deployed by its name, so that no suite needs compiling anew when it
/// changes.
abstract contract SettlementPark is Test {
    using Book for Book.Deal[];

    bytes32 internal constant ADMIN = 0;
    bytes32 internal constant OPERATOR = keccak256("OPERATOR_ROLE");
    bytes32 internal constant PAUSER = keccak256("PAUSER_ROLE");

    uint64 internal constant WINDOW = 600;
    uint256 internal constant UNIT = 1e4; // units per cent: six decimals
    uint256 internal constant START = 1_704_063_600;

    ISettlement internal settlement;
    ICurrency internal currency;
    address internal admin;
    address internal operator;
    address internal pauser;
    address internal stranger;

    /// @dev Ascending, as every batch wants them.
    address[] internal parties;

    uint256 private _numbers;

    function buildSettlement() internal {
        vm.warp(START);
        admin = accountOf("admin");
        operator = accountOf("operator");
        pauser = accountOf("pauser");
        stranger = accountOf("stranger");
        for (uint160 i = 1; i <= 6; ++i) {
            parties.push(address(0xa000 + i));
        }
        currency = ICurrency(vm.deployCode("Currencies.sol:PlainCurrency", abi.encode(uint8(6))));
        settlement = ISettlement(deploySettlement());
        vm.startPrank(admin);
        settlement.grantRole(OPERATOR, operator);
        settlement.grantRole(PAUSER, pauser);
        vm.stopPrank();
    }

    function deploySettlement() internal virtual returns (address) {
        return vm.deployCode(
            "VppSettlement.sol:VppSettlement", abi.encode(admin, uint48(0), currency, WINDOW)
        );
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

    function propose(bytes32 key, Book.Deal[] memory deals) internal returns (uint256 batchId) {
        uint256[] memory words = deals.words();
        vm.prank(operator);
        return settlement.proposeBatch(key, parties, words);
    }

    function finalize(uint256 batchId, Book.Deal[] memory deals) internal {
        int256[] memory nets = deals.nets(parties.length);
        vm.prank(stranger);
        settlement.finalizeBatch(batchId, parties, nets);
    }

    function cancel(uint256 batchId, Book.Deal[] memory deals) internal {
        int256[] memory nets = deals.nets(parties.length);
        uint256[] memory words = deals.words();
        vm.prank(operator);
        settlement.cancelBatch(batchId, parties, nets, words, "reason");
    }

    /// @dev One trade of 10.00 from the first party to the second: the buyer owes the seller.
    function oneDeal(uint64 seq) internal pure returns (Book.Deal[] memory deals) {
        deals = new Book.Deal[](1);
        deals[0] = Book.Deal({seq: seq, buyer: 0, seller: 1, quantity: 1000, price: 100_000});
    }
}
