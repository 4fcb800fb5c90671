// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ISettlementEscrow} from "./ISettlementEscrow.sol";

/// @title Settlement of the trades of virtual power plants
/// @notice Trades are priced, checked, netted and settled on chain, in an escrow of currency and
/// carbon credits: energy for cash, or credits for cash, both or neither.
/// @dev All trades of a batch are of one asset. Asset 0 is energy, which the meters have delivered:
/// only cash moves. Any other asset is a batch of carbon credits: the quantity, in kilograms, goes
/// from the seller to the buyer with the cash that goes the other way.
///
/// A trade is a word of 32 bytes, from the most significant bits down: `seq u64 | buyer u16 |
/// seller u16 | quantity u48 (0.001) | price i48 (0.0001) | cents i64`. Buyer and seller are
/// indices into the batch's list of accounts. The buyer owes the seller the cents, which are
/// quantity times price rounded half away from zero; with a negative price the seller owes the
/// buyer.
///
/// The root of a batch is that of OpenZeppelin's `StandardMerkleTree.of(trades, types, {sortLeaves:
/// false})` over its trades in order, where a trade is `[key, seq, buyer, seller, quantity, price,
/// cents]` of the types `[bytes32, uint64, address, address, uint48, int48, int64]` and `key` is
/// the key of the batch. So the root is known to whoever plans the batch, and no leaf of one batch
/// is a leaf of another.
///
/// Three ways lead to a settlement. An operator proposes a batch, which anyone may finalize after a
/// window in which its parties may dispute it (`proposeBatch`); all parties sign a batch, which is
/// final at once and takes no operator's word (`settleCosigned`); an operator settles one trade,
/// gross and at once (`settleOne`). Whichever way it comes, a trade is settled once.
interface IVppSettlement is ISettlementEscrow {
    // ------------------------------------------------------------------ types

    /// @notice The state of a batch. `None` means that the id was never used. A batch is open while
    /// it is proposed or disputed.
    enum BatchStatus {
        None,
        Proposed,
        Finalized,
        Cancelled,
        Disputed
    }

    /// @notice A trade with its parties spelt out: a leaf of a batch's tree, together with the
    /// batch's key.
    struct Trade {
        uint64 seq;
        address buyer;
        address seller;
        uint48 quantity;
        int48 price;
        int64 cents;
    }

    /// @notice What all parties of a batch sign (EIP-712, domain "Truetonne VppSettlement", version
    /// "1").
    struct Settlement {
        bytes32 key;
        uint256 asset;
        address[] accounts;
        uint256[] words;
        uint64 deadline;
    }

    /// @notice What a batch comes to, as its event published it.
    /// @param nets what each account gains (positive) or owes (negative), in cents, fee deducted
    /// @param creditNets the same in kilograms of the asset; empty for asset 0
    struct Outcome {
        address[] accounts;
        int256[] nets;
        int256[] creditNets;
    }

    /// @notice A dispute that is open.
    /// @param account who disputes
    /// @param timeoutAt the time from which anyone may cancel the batch
    /// @param windowLeft how long the batch's window goes on if the dispute is rejected, in seconds
    struct Dispute {
        address account;
        uint40 timeoutAt;
        uint40 windowLeft;
    }

    // ----------------------------------------------------------------- events

    /// @notice A trade was settled by itself: the creditor has what the debtor owed, less the fee.
    /// @param fee what the collector got of it, in cents
    event TradeSettled(
        uint64 indexed seq,
        address indexed buyer,
        address indexed seller,
        uint256 asset,
        uint48 quantity,
        int48 price,
        int64 cents,
        uint256 fee,
        address feeCollector
    );

    /// @notice A batch was proposed or co-signed, its trades are marked and what its debtors owe is
    /// locked.
    /// @param accounts the parties; with `nets` and `creditNets` the `Outcome`
    /// @param nets what each account gains (positive) or owes (negative), in cents, fee deducted;
    /// with the fee they sum to zero
    /// @param creditNets the same in kilograms of the asset, sums to zero; empty for asset 0
    /// @param words the trades, 32 bytes each: seq u64 | buyer u16 | seller u16 | quantity u48
    /// (0.001) | price i48 (0.0001) | cents i64
    event BatchProposed(
        bytes32 indexed key,
        uint256 indexed batchId,
        uint256 indexed asset,
        bytes32 tradesRoot,
        uint64 finalizableAt,
        address[] accounts,
        int256[] nets,
        int256[] creditNets,
        uint256[] words
    );

    /// @notice All parties of a batch have signed it.
    /// @param digest what they signed
    event BatchCosigned(bytes32 indexed key, uint256 indexed batchId, bytes32 digest);

    /// @notice A batch was finalized: its creditors have what its debtors owed, less the fee.
    /// @param fee what the collector got, in cents
    event BatchFinalized(
        bytes32 indexed key,
        uint256 indexed batchId,
        bytes32 tradesRoot,
        uint256 fee,
        address feeCollector
    );

    /// @notice A batch was cancelled: its debtors have back what was locked, its trades are
    /// unmarked.
    /// @param account who cancelled it
    event BatchCancelled(
        bytes32 indexed key, uint256 indexed batchId, address indexed account, string reason
    );

    /// @notice A party disputes a trade of a batch, which waits now.
    /// @param bond what was taken from the party's balance, in cents
    /// @param timeoutAt the time from which anyone may cancel the batch
    event TradeDisputed(
        bytes32 indexed key,
        uint256 indexed batchId,
        address indexed account,
        uint64 seq,
        uint256 bond,
        uint64 timeoutAt
    );

    /// @notice A dispute is over.
    /// @param upheld whether the batch is cancelled; else it is proposed again
    /// @param bondTo who got the bond: the party, or the collector of fees
    /// @param bond in cents
    /// @param finalizableAt the new end of the window, or zero of a cancelled batch
    event DisputeResolved(
        bytes32 indexed key,
        uint256 indexed batchId,
        address indexed account,
        bool upheld,
        address bondTo,
        uint256 bond,
        uint64 finalizableAt
    );

    // ----------------------------------------------------------------- errors

    error EmptyBatch();
    error EmptyKey();
    error KeyUsed(bytes32 key);
    error TooManyTrades(uint256 trades, uint256 limit);
    error TooManyAccounts(uint256 accounts, uint256 limit);
    error TextTooLong(uint256 length, uint256 limit);
    error AccountsNotSorted(uint256 index);
    error UnknownParty(uint64 seq, uint16 index);
    error SelfTrade(uint64 seq);
    error AlreadySettled(uint64 seq);
    error SeqOutOfOrder(uint64 seq);
    error WrongTotal(uint64 seq, int64 stated, int256 computed);
    error NotionalAboveCap(uint256 notional, uint256 cap);
    error CreditsAboveCap(uint256 quantity, uint256 cap);
    error BatchNotProposed(uint256 batchId, BatchStatus status);
    error BatchNotOpen(uint256 batchId, BatchStatus status);
    error BatchNotDisputed(uint256 batchId, BatchStatus status);
    error WindowOpen(uint256 batchId, uint64 finalizableAt);
    error WindowOver(uint256 batchId, uint64 finalizableAt);
    error OutOfOrder(uint256 batchId, uint256 next);
    error WrongNets(uint256 batchId);
    error WrongTrades(uint256 batchId);
    error SignaturesExpired(uint64 deadline);
    error WrongSignatureCount(uint256 signatures, uint256 accounts);
    error BadSignature(address account);
    error NotAParty(address account, uint64 seq);
    error DisputedBefore(uint256 batchId, address account);
    error DisputeTimedOut(uint256 batchId, uint64 timeoutAt);
    error ZeroPeriod();
    error MayNotCancel(uint256 batchId, address account);

    // ------------------------------------------------------------- one trade

    /// @notice Settles one trade by itself: gross, at once, for good.
    /// @dev Requirements:
    /// - settlements are not paused and the caller is an operator;
    /// - the parties are two, none of them zero;
    /// - the cents are quantity times price, rounded half away from zero;
    /// - they are at most `notionalCap`, and the quantity of credits at most `creditCap`;
    /// - the credits are transferable;
    /// - the trade is not settled yet and in no open batch;
    /// - the debtor has the cents and the seller the credits.
    /// @param asset 0 for energy, else the batch of credits
    function settleOne(uint256 asset, Trade calldata trade) external;

    // ---------------------------------------------------------------- batches

    /// @notice Proposes a batch of trades: checks and marks them, nets them, and locks what the
    /// debtors owe.
    /// @dev Requirements:
    /// - settlements are not paused and the caller is an operator;
    /// - the key is not zero and was never used before, also by a batch since cancelled;
    /// - there are 1 to `MAX_TRADES` trades and at most `MAX_ACCOUNTS` accounts;
    /// - the accounts are not zero and ascend strictly;
    /// - the trades ascend strictly by seq, each between two different accounts of the list;
    /// - the cents of each trade are its quantity times its price, rounded half away from zero;
    /// - the cents of all trades, as if positive, are at most `notionalCap`, and the quantities of
    ///   credits at most `creditCap`;
    /// - the credits are transferable;
    /// - no trade is settled yet or in another open batch;
    /// - each debtor has what it owes on the whole, in cash and in credits.
    /// @param asset 0 for energy, else the batch of credits
    /// @return batchId the new batch, counted from 1
    function proposeBatch(
        bytes32 key,
        uint256 asset,
        address[] calldata accounts,
        uint256[] calldata words
    ) external returns (uint256 batchId);

    /// @notice Settles a batch that all of its parties have signed: at once, for good. Any member of
    /// the market may send it.
    /// @dev Emits `BatchProposed`, `BatchCosigned` and `BatchFinalized`. The batch takes the next
    /// id, and the order of finalization passes it over.
    ///
    /// Requirements: those of `proposeBatch`, without operator and caps, and
    /// - the caller is a member of the market;
    /// - the deadline is not over;
    /// - each account has signed, with its key or by ERC-1271.
    ///
    /// The caller decides nothing that was not signed, and need not be trusted with money. It is a
    /// member because a batch uses up its key and the numbers of its trades: if anyone could send
    /// one, two accounts of a stranger could use up those of other people's trades.
    /// @param signatures one for each account, in their order
    function settleCosigned(Settlement calldata settlement, bytes[] calldata signatures)
        external
        returns (uint256 batchId);

    /// @notice Pays the creditors of a batch from what was locked. Anyone may do it.
    /// @dev Requirements:
    /// - finalizations are not paused;
    /// - the batch is proposed and its window is over;
    /// - the credits are transferable;
    /// - every batch before it is finalized or cancelled, and of those right before it at most 32
    ///   were not passed yet: `skipClosed` passes more;
    /// - the outcome is that of the proposal.
    function finalizeBatch(uint256 batchId, Outcome calldata outcome) external;

    /// @notice Takes an open batch back: gives the debtors what was locked, the party that disputes
    /// it its bond, and unmarks the trades. No pause stops it.
    /// @dev Requirements:
    /// - the caller is an operator or an arbiter, who upholds a dispute so; or anyone, once the
    ///   dispute has timed out, the credits are not transferable, or a pause holds, pauses have held
    ///   for `disputeTimeout` since the proposal, all in all, and the window has been over as long;
    /// - the batch is proposed or disputed;
    /// - outcome and trades are those of the proposal;
    /// - the reason has at most 1,024 bytes.
    function cancelBatch(
        uint256 batchId,
        Outcome calldata outcome,
        uint256[] calldata words,
        string calldata reason
    ) external;

    /// @notice Moves the order of finalization past batches that are final or cancelled;
    /// `finalizeBatch` does it for up to 32.
    /// @param limit how many batches to pass at the most
    function skipClosed(uint256 limit) external;

    // --------------------------------------------------------------- disputes

    /// @notice Disputes a trade of a batch, which waits from then on, and all batches after it: for
    /// `disputeTimeout` at the most, for each party that disputes. The window stands still as long.
    /// @dev Requirements:
    /// - the caller is a party of the trade, and the trade is one of the batch;
    /// - the batch is proposed and its window is open;
    /// - the caller has not disputed this batch before;
    /// - the caller has a balance of `disputeBond` at least.
    /// @param proof the siblings from the trade's leaf up
    function disputeTrade(uint256 batchId, Trade calldata trade, bytes32[] calldata proof) external;

    /// @notice Rejects a dispute: the batch is proposed again, for as long as its window was still
    /// open, and the bond goes to the collector of fees. (`cancelBatch` upholds one.)
    /// @dev Requirements:
    /// - the caller is an arbiter;
    /// - the batch is disputed, and the dispute has not timed out.
    function rejectDispute(uint256 batchId) external;

    // ------------------------------------------------------------------ views

    /// @notice Whether a trade is settled, or in an open batch.
    function isSettled(uint64 seq) external view returns (bool);

    /// @notice The state of a batch.
    function batchStatus(uint256 batchId) external view returns (BatchStatus);

    /// @notice The batch that was proposed or co-signed under a key, or zero.
    function batchOfKey(bytes32 key) external view returns (uint256 batchId);

    /// @notice The key of a batch, or zero.
    function keyOf(uint256 batchId) external view returns (bytes32 key);

    /// @notice What the trades of a batch are of: 0 for energy, else a batch of credits.
    function assetOf(uint256 batchId) external view returns (uint256);

    /// @notice The time from which a batch may be finalized, if nothing stops it; zero for a batch
    /// that never was.
    function finalizableAt(uint256 batchId) external view returns (uint64);

    /// @notice The Merkle root of a batch's trades, or zero.
    function tradesRootOf(uint256 batchId) external view returns (bytes32);

    /// @notice How many batches there ever were.
    function batchCount() external view returns (uint256);

    /// @notice The lowest batch that is neither finalized nor cancelled: the next in the order of
    /// finalization. It may not be proposed yet.
    function nextToFinalize() external view returns (uint256 batchId);

    /// @notice The open dispute of a batch; all zero when there is none.
    function disputeOf(uint256 batchId) external view returns (Dispute memory);

    /// @notice Whether a trade is one of a batch. Says nothing of the batch's state.
    /// @param proof the siblings from the leaf up
    function verifyTrade(uint256 batchId, Trade calldata trade, bytes32[] calldata proof)
        external
        view
        returns (bool);

    /// @notice What the parties of a batch sign.
    function hashSettlement(Settlement calldata settlement) external view returns (bytes32 digest);

    /// @notice How long a proposal waits before it may be finalized, in seconds.
    function window() external view returns (uint64);

    /// @notice How long a dispute may hold a batch, in seconds.
    function disputeTimeout() external view returns (uint64);

    /// @notice What a dispute costs the party if it is rejected, in cents.
    function disputeBond() external view returns (uint64);
}
