// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1155Receiver} from "@openzeppelin/contracts/token/ERC1155/IERC1155Receiver.sol";

import {ISettlementEscrow} from "../../../contracts/interfaces/ISettlementEscrow.sol";
import {IVppSettlement} from "../../../contracts/interfaces/IVppSettlement.sol";
import {Book} from "../base/Book.sol";
import {WillingVerifier} from "../base/Symbolic.sol";
import {SettlementScene} from "./SettlementScene.sol";

/// @title Who may change what in VppSettlement: a property for each function
/// @dev The caller is anybody but the party, other parties included. Most properties end with the
/// party doing what the others were refused. Roles are in Roles.t.sol, and what is open to anyone
/// stands in open.toml.
contract SettlementAccessProperties is SettlementScene {
    // ------------------------------------------------------------------- terms

    /// @notice VS-33: only the admin changes the caps.
    function check_onlyTheAdminSetsCaps(address caller, uint64 cents, uint64 kilograms) external {
        bytes memory data = abi.encodeCall(ISettlementEscrow.setCaps, (cents, kilograms));
        refusedTo(caller, ADMIN, data);
        works(ADMIN, data);
    }

    /// @notice VS-60: only the admin changes fee and collector, and not before seven days.
    function check_onlyTheAdminSetsTheFee(address caller, uint16 bps, address to, uint32 wait)
        external
    {
        refusedTo(caller, ADMIN, abi.encodeCall(ISettlementEscrow.setFee, (bps, to)));
        works(ADMIN, abi.encodeCall(ISettlementEscrow.setFee, (100, THIRD)));
        vm.assume(wait < 7 days);
        vm.warp(block.timestamp + wait);
        vm.assertEq(settlement.feeBps(), 0, "fee");
        vm.assertEq(settlement.feeCollector(), COLLECTOR, "collector");
    }

    /// @notice VS-31: only a pauser pauses.
    function check_onlyAPauserPauses(address caller) external {
        bytes memory data = abi.encodeCall(ISettlementEscrow.pause, ());
        refusedTo(caller, PAUSER, data);
        works(PAUSER, data);
    }

    /// @notice VS-31: only the admin resumes.
    function check_onlyTheAdminUnpauses(address caller) external {
        works(PAUSER, abi.encodeCall(ISettlementEscrow.pause, ()));
        bytes memory data = abi.encodeCall(ISettlementEscrow.unpause, ());
        refusedTo(caller, ADMIN, data);
        vm.assertTrue(settlement.paused(), "resumed");
        works(ADMIN, data);
    }

    // ------------------------------------------------------------------ escrow

    /// @notice VS-01: a deposit is paid by its sender alone, whomever it credits, and takes nothing
    /// from a balance.
    function check_onlyTheSenderPaysADeposit(address caller, address account, uint256 amount)
        external
    {
        _leavesMoney(caller, abi.encodeCall(ISettlementEscrow.deposit, (account, amount)));
    }

    /// @notice VS-01, VS-08: nor does a permit pay with another's money.
    function check_onlyTheSenderPaysAPermit(
        address caller,
        address account,
        uint256 amount,
        uint256 deadline,
        bytes32 r,
        bytes32 s
    ) external {
        _leavesMoney(
            caller,
            abi.encodeCall(
                ISettlementEscrow.depositWithPermit, (account, amount, deadline, 27, r, s)
            )
        );
    }

    /// @notice VS-03, VS-32: only an account itself withdraws its cash.
    function check_onlyAnAccountItselfWithdraws(address caller, address to, uint256 amount)
        external
    {
        _leavesMoney(caller, abi.encodeCall(ISettlementEscrow.withdraw, (to, amount)));
        works(FIRST, abi.encodeCall(ISettlementEscrow.withdraw, (FIRST, free)));
    }

    /// @notice VS-03, VS-32: only an account itself withdraws its credits.
    function check_onlyAnAccountItselfWithdrawsCredits(
        address caller,
        address to,
        uint256 asset,
        uint256 amount
    ) external {
        _leavesMoney(caller, abi.encodeCall(ISettlementEscrow.withdrawCredits, (to, asset, amount)));
        works(FIRST, abi.encodeCall(ISettlementEscrow.withdrawCredits, (FIRST, CREDIT, HELD)));
    }

    /// @notice VS-07: only the contract of the credits says that credits came in.
    function check_onlyTheCreditsAreReceived(
        address caller,
        address operator,
        address from,
        uint256 asset,
        uint256 amount
    ) external {
        refusedTo(
            caller,
            address(credits),
            abi.encodeCall(IERC1155Receiver.onERC1155Received, (operator, from, asset, amount, ""))
        );
    }

    /// @notice VS-07: nor several batches of them; an empty list says nothing.
    function check_onlyTheCreditsAreReceivedInBatches(
        address caller,
        address operator,
        address from,
        uint256 asset,
        uint256 amount
    ) external {
        uint256[] memory assets = new uint256[](1);
        uint256[] memory amounts = new uint256[](1);
        (assets[0], amounts[0]) = (asset, amount);
        refusedTo(
            caller,
            address(credits),
            abi.encodeCall(
                IERC1155Receiver.onERC1155BatchReceived, (operator, from, assets, amounts, "")
            )
        );
    }

    // -------------------------------------------------------------- settlement

    /// @notice VS-10: only an operator settles a single trade.
    function check_onlyAnOperatorSettlesOne(
        address caller,
        uint256 asset,
        IVppSettlement.Trade calldata trade
    ) external {
        refusedTo(caller, OPERATOR, abi.encodeCall(IVppSettlement.settleOne, (asset, trade)));
        works(OPERATOR, abi.encodeCall(IVppSettlement.settleOne, (0, tradeOf(4))));
    }

    /// @notice VS-10: only an operator proposes a batch.
    function check_onlyAnOperatorProposes(
        address caller,
        bytes32 key,
        uint256 asset,
        address[2] calldata two,
        uint256 word
    ) external {
        address[] memory accounts = new address[](2);
        uint256[] memory words = new uint256[](1);
        (accounts[0], accounts[1], words[0]) = (two[0], two[1], word);
        refusedTo(
            caller,
            OPERATOR,
            abi.encodeCall(IVppSettlement.proposeBatch, (key, asset, accounts, words))
        );
        works(
            OPERATOR, abi.encodeCall(IVppSettlement.proposeBatch, ("key", 0, parties(), wordsOf(4)))
        );
    }

    /// @notice VS-42: only a member sends what all have signed, whatever it is.
    function check_onlyAMemberSendsWhatIsSigned(
        address caller,
        bytes32 key,
        uint256 asset,
        uint256 word,
        uint64 deadline
    ) external {
        address willing = address(new WillingVerifier());
        IVppSettlement.Settlement memory wanted = _wanted(key, willing, FIRST);
        (wanted.asset, wanted.words[0], wanted.deadline) = (asset, word, deadline);
        bytes[] memory none = new bytes[](2);
        refusedTo(caller, MEMBER, abi.encodeCall(IVppSettlement.settleCosigned, (wanted, none)));
        wanted = _wanted("key", willing, address(new WillingVerifier()));
        works(MEMBER, abi.encodeCall(IVppSettlement.settleCosigned, (wanted, none)));
    }

    /// @notice VS-40: what an account has not signed settles nothing for it, though the other one
    /// signs all and a member sends it.
    function check_onlyWhatAllSignedIsSettled(bytes32 key, bytes32 r, bytes32 s) external {
        IVppSettlement.Settlement memory wanted =
            _wanted(key, address(new WillingVerifier()), FIRST);
        vm.assume(ecrecover(settlement.hashSettlement(wanted), 27, r, s) != FIRST);
        bytes[] memory signatures = new bytes[](2);
        signatures[0] = signatures[1] = abi.encodePacked(r, s, uint8(27));
        bytes memory data = abi.encodeCall(IVppSettlement.settleCosigned, (wanted, signatures));
        vm.assertTrue(!tryCall(MEMBER, address(settlement), data), "settled");
    }

    /// @notice VS-10, VS-52: only an operator or an arbiter cancels a batch that is proposed, or
    /// disputed and not timed out.
    function check_onlyAnOperatorOrAnArbiterCancels(address caller, bool disputed) external {
        vm.assume(caller != ARBITER);
        uint64 number = disputed ? 2 : 1;
        bytes memory data =
            abi.encodeCall(IVppSettlement.cancelBatch, (number, outcomeOf(), wordsOf(number), ""));
        refusedTo(caller, OPERATOR, data);
        works(ARBITER, data);
    }

    // ---------------------------------------------------------------- disputes

    /// @notice VS-50: only a party of the trade disputes a batch.
    /// @dev The trade is the batch's: that another one has another leaf is a matter of the hash,
    /// of which a solver knows nothing.
    function check_onlyAPartyDisputes(address caller) external {
        vm.assume(caller != SECOND);
        bytes memory data =
            abi.encodeCall(IVppSettlement.disputeTrade, (1, tradeOf(1), new bytes32[](0)));
        refusedTo(caller, FIRST, data);
        works(FIRST, data);
    }

    /// @notice VS-51: only an arbiter rejects a dispute.
    function check_onlyAnArbiterRejects(address caller, uint256 batchId) external {
        refusedTo(caller, ARBITER, abi.encodeCall(IVppSettlement.rejectDispute, (batchId)));
        works(ARBITER, abi.encodeCall(IVppSettlement.rejectDispute, (2)));
    }

    // ------------------------------------------------------------- open to anyone

    /// @notice VS-21: anyone passes batches that are closed, which changes no order, no balance and
    /// no batch.
    function check_skippingChangesNoOrder(address caller, uint256 limit) external {
        works(ARBITER, abi.encodeCall(IVppSettlement.cancelBatch, (1, outcomeOf(), wordsOf(1), "")));
        uint256 next = settlement.nextToFinalize();
        (uint256 first, uint256 second) =
            (settlement.balanceOf(FIRST), settlement.balanceOf(SECOND));
        tryCall(caller, address(settlement), abi.encodeCall(IVppSettlement.skipClosed, (limit)));
        vm.assertEq(settlement.nextToFinalize(), next, "the next one");
        vm.assertEq(settlement.balanceOf(FIRST), first, "first");
        vm.assertEq(settlement.balanceOf(SECOND), second, "second");
        vm.assertTrue(
            settlement.batchStatus(2) == IVppSettlement.BatchStatus.Disputed, "another batch"
        );
    }

    // ------------------------------------------------------------------- helpers

    /// @dev Whatever becomes of the call, the first one's balances do not fall, its own currency
    /// stays where it is, and nothing is unlocked.
    function _leavesMoney(address caller, bytes memory data) private {
        vm.assume(caller != FIRST && caller != address(settlement)); // which pays out to others alone
        uint256 locked = settlement.totalLocked();
        tryCall(caller, address(settlement), data);
        vm.assertGe(settlement.balanceOf(FIRST), free, "cash");
        vm.assertGe(settlement.creditBalanceOf(FIRST, CREDIT), HELD, "credits");
        vm.assertGe(currency.balanceOf(FIRST), HELD, "currency");
        vm.assertEq(settlement.totalLocked(), locked, "locked");
    }

    /// @dev A trade of nothing between two accounts, in the order that a batch wants.
    function _wanted(bytes32 key, address one, address other)
        private
        pure
        returns (IVppSettlement.Settlement memory wanted)
    {
        (wanted.key, wanted.deadline) = (key, type(uint64).max);
        wanted.accounts = new address[](2);
        (wanted.accounts[0], wanted.accounts[1]) = one < other ? (one, other) : (other, one);
        wanted.words = new uint256[](1);
        wanted.words[0] = Book.word(Book.Deal({seq: 4, buyer: 0, seller: 1, quantity: 0, price: 0}));
    }
}
