// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";

import {SettlementBatches} from "./SettlementBatches.sol";
import {SettlementEscrow} from "./SettlementEscrow.sol";
import {IVppSettlement} from "./interfaces/IVppSettlement.sol";
import {AssetBook} from "./libraries/AssetBook.sol";
import {Cosignature} from "./libraries/Cosignature.sol";
import {Netting} from "./libraries/Netting.sol";
import {Signature} from "./libraries/Signature.sol";
import {TradeMarks} from "./libraries/TradeMarks.sol";
import {TradeWord} from "./libraries/TradeWord.sol";

/// @title Settlement of the trades of virtual power plants
/// @dev Assumed: the operator proposes and settles only trades that both parties made (their consent
/// is attested, and proven in a co-signed batch alone); currency and credits do not change balances
/// by themselves, and a batch of credits that may be transferred once may be so until it is told
/// otherwise; admin and arbiter are timelocks or multisignature accounts.
///
/// Promised: of each asset, the contract holds at least the sum of all balances and all that is
/// locked. What is settled moves from account to account and sums to zero, fee included. Cash and
/// credits of a trade move together or not at all. The total of a trade is its quantity times its
/// price. A trade is settled once at most, whichever way it comes. Proposed batches are finalized in
/// their order and not before their window is over; a cancelled one leaves no trace in balances or
/// marks. Nobody but an account itself takes anything out, and no pause stops it.
///
/// Not promised: that what an operator's key signs is right. The caps bound what one call of it
/// moves, the window and the arbiter what a batch of it does, and a pauser stops it.
contract VppSettlement is SettlementBatches, EIP712 {
    using AssetBook for AssetBook.Book;
    using Netting for TradeMarks.Marks;
    using TradeMarks for TradeMarks.Marks;

    // -------------------------------------------------------------- constants

    /// @notice The most trades of a batch. With neighbouring numbers they fit one transaction of
    /// 16,777,216 gas and 128 KB; trades whose numbers are far apart cost a storage word each.
    uint256 public constant MAX_TRADES = 2000;

    /// @notice The most accounts of a batch.
    uint256 public constant MAX_ACCOUNTS = 200;

    /// @notice The longest text in an event, in bytes.
    uint256 public constant MAX_TEXT = 1024;

    /// @dev How many closed batches a finalization passes by itself.
    uint256 private constant MAX_SKIP = 32;

    // ------------------------------------------------------------ constructor

    /// @param admin the one account that may grant roles, set caps and fee, and unpause
    /// @param adminDelay how long a change of the admin waits, in seconds
    /// @param currency_ the ERC-20 of all cash balances, of two decimals at least
    /// @param credits_ the ERC-1155 of all credit balances: `CarbonCredit`
    /// @param window_ how long a proposal waits before it may be finalized, in seconds
    /// @param disputeTimeout_ how long a dispute may hold a batch, in seconds
    /// @param disputeBond_ what a dispute costs the party if it is rejected, in cents
    /// @param notionalCap_ the most that an operator settles in one call, in cents
    /// @param creditCap_ the most credits that an operator settles in one call, in kilograms
    /// @param feeCollector_ who gets fees and lost bonds
    constructor(
        address admin,
        uint48 adminDelay,
        address currency_,
        address credits_,
        uint32 window_,
        uint32 disputeTimeout_,
        uint64 disputeBond_,
        uint64 notionalCap_,
        uint64 creditCap_,
        address feeCollector_
    )
        AccessControlDefaultAdminRules(adminDelay, admin)
        SettlementEscrow(currency_, credits_)
        SettlementBatches(Periods(window_, disputeTimeout_, disputeBond_))
        EIP712("Truetonne VppSettlement", "1")
    {
        _initTerms(notionalCap_, creditCap_, feeCollector_);
    }

    // -------------------------------------------------------------- one trade

    /// @inheritdoc IVppSettlement
    function settleOne(uint256 asset, Trade memory trade)
        external
        whenNotPaused
        onlyRole(OPERATOR_ROLE)
    {
        if (trade.buyer == address(0) || trade.seller == address(0)) {
            revert ZeroAddress();
        }
        if (trade.buyer == trade.seller) revert SelfTrade(trade.seq);
        int256 total = TradeWord.totalHalfAwayFromZero(trade.quantity, trade.price);
        if (trade.cents != total) revert WrongTotal(trade.seq, trade.cents, total);
        uint256 cents = SignedMath.abs(total);
        _requireTransferable(asset);
        _requireWithinCaps(asset, cents, trade.quantity);

        _settled.markOne(trade.seq);
        (address debtor, address creditor) =
            total < 0 ? (trade.seller, trade.buyer) : (trade.buyer, trade.seller);
        uint256 fee = _feeDown(cents);
        _books[CASH].debit(CASH, debtor, _units(cents));
        _books[CASH].credit(creditor, _units(cents - fee));
        if (asset != CASH) {
            _books[asset].debit(asset, trade.seller, trade.quantity);
            _books[asset].credit(trade.buyer, trade.quantity);
        }
        address collector = _payFee(fee);

        emit TradeSettled(
            trade.seq,
            trade.buyer,
            trade.seller,
            asset,
            trade.quantity,
            trade.price,
            trade.cents,
            fee,
            collector
        );
    }

    // ---------------------------------------------------------------- batches

    /// @inheritdoc IVppSettlement
    function proposeBatch(
        bytes32 key,
        uint256 asset,
        address[] calldata accounts,
        uint256[] calldata words
    ) external whenNotPaused onlyRole(OPERATOR_ROLE) returns (uint256 batchId) {
        (batchId,) = _open(key, asset, accounts, words, false);
    }

    /// @inheritdoc IVppSettlement
    function settleCosigned(Settlement calldata settlement, bytes[] calldata signatures)
        external
        whenNotPaused
        onlyRole(MEMBER_ROLE)
        returns (uint256 batchId)
    {
        bytes32 digest = _checkSignatures(settlement, signatures);

        Outcome memory outcome;
        (batchId, outcome) =
            _open(settlement.key, settlement.asset, settlement.accounts, settlement.words, true);
        emit BatchCosigned(settlement.key, batchId, digest);

        if (batchId == _next) ++_next;
        _finalize(settlement.key, batchId, outcome);
    }

    /// @inheritdoc IVppSettlement
    function finalizeBatch(uint256 batchId, Outcome memory outcome) external whenNotPaused {
        (bytes32 key, Batch storage batch) = _batchOf(batchId);
        if (batch.status != BatchStatus.Proposed) revert BatchNotProposed(batchId, batch.status);
        _requireOutcome(batchId, batch, outcome);
        if (block.timestamp < batch.finalizableAt) revert WindowOpen(batchId, batch.finalizableAt);
        _requireTransferable(batch.asset);
        skipClosed(MAX_SKIP);
        if (batchId != _next) revert OutOfOrder(batchId, _next);

        ++_next;
        _finalize(key, batchId, outcome);
    }

    /// @inheritdoc IVppSettlement
    function cancelBatch(
        uint256 batchId,
        Outcome memory outcome,
        uint256[] calldata words,
        string calldata reason
    ) external {
        if (bytes(reason).length > MAX_TEXT) {
            revert TextTooLong(bytes(reason).length, MAX_TEXT);
        }
        (bytes32 key, Batch storage batch) = _batchOf(batchId);
        _requireMayCancel(batchId, batch);
        _requireOutcome(batchId, batch, outcome);
        (,,, bytes32 root) = _settled.net(key, outcome.accounts, words, false);
        if (root != batch.tradesRoot) revert WrongTrades(batchId);

        if (batch.status == BatchStatus.Disputed) {
            _closeDispute(key, batchId, true, _disputes[batchId].account, 0);
        }
        batch.status = BatchStatus.Cancelled;
        _unlock(batch.asset, outcome, false);

        emit BatchCancelled(key, batchId, msg.sender, reason);
    }

    /// @inheritdoc IVppSettlement
    function skipClosed(uint256 limit) public {
        uint40 next = _next;
        for (uint256 i; i < limit && _isClosed(next); ++i) {
            ++next;
        }
        _next = next;
    }

    // ----------------------------------------------------------------- checks

    function _checkSignatures(Settlement calldata settlement, bytes[] calldata signatures)
        private
        view
        returns (bytes32 digest)
    {
        address[] calldata accounts = settlement.accounts;
        if (settlement.deadline < block.timestamp) revert SignaturesExpired(settlement.deadline);
        if (signatures.length != accounts.length) {
            revert WrongSignatureCount(signatures.length, accounts.length);
        }
        digest = hashSettlement(settlement);
        for (uint256 i; i < accounts.length; ++i) {
            if (!Signature.isOf(accounts[i], digest, signatures[i])) {
                revert BadSignature(accounts[i]);
            }
        }
    }

    /// @dev A batch's number fits the 64 bits that a `Batch` has for it, or there is no such batch.
    function _requireTransferable(uint256 asset) private view {
        if (asset > type(uint64).max || !_isTransferable(asset)) {
            revert AssetNotTransferable(asset);
        }
    }

    function _requireWithinCaps(uint256 asset, uint256 notional, uint256 quantity) private view {
        if (notional > notionalCap) revert NotionalAboveCap(notional, notionalCap);
        if (asset != CASH && quantity > creditCap) revert CreditsAboveCap(quantity, creditCap);
    }

    function _requireOutcome(uint256 batchId, Batch storage batch, Outcome memory outcome)
        private
        view
    {
        if (_hash(outcome) != batch.outcomeHash) revert WrongNets(batchId);
    }

    function _hash(Outcome memory outcome) private pure returns (bytes32) {
        return keccak256(abi.encode(outcome.accounts, outcome.nets, outcome.creditNets));
    }

    function _requireMayCancel(uint256 batchId, Batch storage batch) private view {
        BatchStatus status = batch.status;
        bool disputed = status == BatchStatus.Disputed;
        if (!disputed && status != BatchStatus.Proposed) revert BatchNotOpen(batchId, status);
        if (hasRole(OPERATOR_ROLE, msg.sender) || hasRole(ARBITER_ROLE, msg.sender)) return;
        if (disputed && block.timestamp >= _disputes[batchId].timeoutAt) return;
        uint256 timeout = disputeTimeout;
        if (
            block.timestamp >= batch.finalizableAt + timeout
                && _hasPausedFor(timeout + batch.pausedBefore)
        ) return;
        if (!_isTransferable(batch.asset)) return;
        revert MayNotCancel(batchId, msg.sender);
    }

    // ------------------------------------------------------------------ steps

    /// @dev Checks a batch, marks its trades, locks what its debtors owe, and gives it a number.
    function _open(
        bytes32 key,
        uint256 asset,
        address[] calldata accounts,
        uint256[] calldata words,
        bool cosigned
    ) private returns (uint256 batchId, Outcome memory outcome) {
        if (key == 0) revert EmptyKey();
        if (_batches[key].id != 0) revert KeyUsed(key);
        if (words.length > MAX_TRADES) revert TooManyTrades(words.length, MAX_TRADES);
        if (accounts.length > MAX_ACCOUNTS) revert TooManyAccounts(accounts.length, MAX_ACCOUNTS);
        _requireTransferable(asset);

        Batch storage batch = _batches[key];
        outcome.accounts = accounts;
        uint256 volume;
        (outcome.nets, outcome.creditNets, volume, batch.tradesRoot) =
            _settled.net(key, outcome.accounts, words, true);
        if (!cosigned) _requireWithinCaps(asset, volume >> 128, uint128(volume));
        _lock(asset, outcome);

        batchId = ++_batchCount;
        keyOf[batchId] = key;
        batch.id = uint40(batchId);
        batch.finalizableAt = uint40(block.timestamp + (cosigned ? 0 : window));
        batch.status = BatchStatus.Proposed;
        batch.asset = uint64(asset);
        batch.pausedBefore = _pausedBefore;
        if (!cosigned) batch.outcomeHash = _hash(outcome);
        _publish(key, batch, outcome, words);
    }

    /// @dev Takes the fee from what the creditors gain, and from the debtors what they owe.
    function _lock(uint256 asset, Outcome memory outcome) private {
        if (feeBps() != 0) {
            int256[] memory nets = outcome.nets;
            for (uint256 i; i < nets.length; ++i) {
                if (nets[i] > 0) nets[i] -= int256(_feeDown(uint256(nets[i])));
            }
        }
        _books[CASH].lock(CASH, outcome.accounts, outcome.nets, _units(1));

        if (asset == CASH) outcome.creditNets = new int256[](0);
        _books[asset].lock(asset, outcome.accounts, outcome.creditNets, 1);
    }

    /// @dev Gives what was locked to the creditors, or back to the debtors.
    function _unlock(uint256 asset, Outcome memory outcome, bool toCreditors)
        private
        returns (uint256 fee)
    {
        fee = _books[CASH].unlock(outcome.accounts, outcome.nets, _units(1), toCreditors);
        _books[asset].unlock(outcome.accounts, outcome.creditNets, 1, toCreditors);
    }

    function _publish(
        bytes32 key,
        Batch storage batch,
        Outcome memory outcome,
        uint256[] calldata words
    ) private {
        emit BatchProposed(
            key,
            batch.id,
            batch.asset,
            batch.tradesRoot,
            batch.finalizableAt,
            outcome.accounts,
            outcome.nets,
            outcome.creditNets,
            words
        );
    }

    function _finalize(bytes32 key, uint256 batchId, Outcome memory outcome) private {
        Batch storage batch = _batches[key];
        batch.status = BatchStatus.Finalized;
        uint256 fee = _unlock(batch.asset, outcome, true);
        address collector = _payFee(fee);

        emit BatchFinalized(key, batchId, batch.tradesRoot, fee, collector);
    }

    function _payFee(uint256 cents) private returns (address collector) {
        collector = feeCollector();
        if (cents != 0) _books[CASH].credit(collector, _units(cents));
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc IVppSettlement
    function hashSettlement(Settlement calldata settlement) public view returns (bytes32 digest) {
        return _hashTypedDataV4(Cosignature.hash(settlement));
    }
}
