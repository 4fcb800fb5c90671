// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Settlement of the trades of virtual power plants
/// @notice An escrow ledger in one currency; batches of trades are netted, priced and checked on
/// chain.
/// @dev Balances are in base units of the currency, and always whole cents; trades and nets are in
/// cents.
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
/// The numbers VS-nn are the requirements of `contracts/SPEC.md`.
interface IVppSettlement {
    // ------------------------------------------------------------------ types

    /// @notice The state of a batch. `None` means that the id was never proposed.
    enum BatchStatus {
        None,
        Proposed,
        Finalized,
        Cancelled
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

    // ----------------------------------------------------------------- events

    /// @notice Currency came into the escrow.
    /// @param balance what the account has from now on
    event Deposited(
        address indexed account, address indexed payer, uint256 amount, uint256 balance
    );

    /// @notice Currency left the escrow.
    /// @param balance what the account has from now on
    event Withdrawn(address indexed account, address indexed to, uint256 amount, uint256 balance);

    /// @notice A batch was proposed, its trades are marked and what its debtors owe is locked.
    /// @param words the trades, 32 bytes each: seq u64 | buyer u16 | seller u16 | quantity u48
    /// (0.001) | price i48 (0.0001) | cents i64
    /// @param nets what each account gains (positive) or owes (negative), in cents; sums to zero
    event BatchProposed(
        bytes32 indexed key,
        uint256 indexed batchId,
        bytes32 tradesRoot,
        uint64 finalizableAt,
        address[] accounts,
        int256[] nets,
        uint256[] words
    );

    /// @notice A batch was finalized: its creditors have what its debtors owed.
    event BatchFinalized(bytes32 indexed key, uint256 indexed batchId, bytes32 tradesRoot);

    /// @notice A batch was cancelled: its debtors have back what was locked, its trades are
    /// unmarked.
    event BatchCancelled(bytes32 indexed key, uint256 indexed batchId, string reason);

    /// @notice Deposits, proposals and finalizations were paused.
    event Paused(address account);

    /// @notice Deposits, proposals and finalizations were resumed.
    event Unpaused(address account);

    // ----------------------------------------------------------------- errors

    error ZeroAddress();
    error ZeroAmount();
    error BadReceiver(address to);
    error NotWholeCents(uint256 amount, uint256 unitsPerCent);
    error UnsupportedDecimals(uint8 decimals);
    error InsufficientBalance(address account, uint256 balance, uint256 needed);
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
    error BatchNotProposed(uint256 batchId, BatchStatus status);
    error WindowOpen(uint256 batchId, uint64 finalizableAt);
    error OutOfOrder(uint256 batchId, uint256 next);
    error WrongNets(uint256 batchId);
    error WrongTrades(uint256 batchId);
    error EnforcedPause();
    error ExpectedPause();

    // ----------------------------------------------------------------- escrow

    /// @notice Brings currency into the escrow of an account: what arrived is credited, whatever
    /// was asked for.
    /// @dev Requirements:
    /// - deposits are not paused;
    /// - the account is not zero;
    /// - what arrives is more than zero and whole cents;
    /// - the caller has approved the amount to this contract.
    /// @param account whose balance grows
    /// @param amount what is asked of the caller, in base units
    /// @return credited what arrived, in base units
    function deposit(address account, uint256 amount) external returns (uint256 credited);

    /// @notice Takes currency out of the caller's balance. No pause stops it.
    /// @dev Requirements:
    /// - the receiver is neither zero nor this contract;
    /// - the amount is more than zero, whole cents, and no more than the caller's balance.
    function withdraw(address to, uint256 amount) external;

    // ---------------------------------------------------------------- batches

    /// @notice Proposes a batch of trades: checks and marks them, nets them, and locks what the
    /// debtors owe.
    /// @dev Requirements:
    /// - proposals are not paused and the caller is an operator;
    /// - the key is not zero and was never used before, also by a batch since cancelled;
    /// - there are 1 to `MAX_TRADES` trades and at most `MAX_ACCOUNTS` accounts;
    /// - the accounts are not zero and ascend strictly;
    /// - the trades ascend strictly by seq, each between two different accounts of the list;
    /// - the cents of each trade are its quantity times its price, rounded half away from zero;
    /// - no trade is in another batch, unless that was cancelled;
    /// - each debtor has a balance of at least what it owes on the whole.
    /// @return batchId the new batch, counted from 1
    function proposeBatch(bytes32 key, address[] calldata accounts, uint256[] calldata words)
        external
        returns (uint256 batchId);

    /// @notice Pays the creditors of a batch from what was locked. Anyone may do it.
    /// @dev Requirements:
    /// - finalizations are not paused;
    /// - the batch is proposed and its window is over;
    /// - every batch before it is finalized or cancelled;
    /// - accounts and nets are those of the proposal.
    function finalizeBatch(uint256 batchId, address[] calldata accounts, int256[] calldata nets)
        external;

    /// @notice Takes a proposed batch back: gives the debtors what was locked and unmarks the
    /// trades.
    /// @dev Requirements:
    /// - the caller is an operator;
    /// - the batch is proposed;
    /// - accounts, nets and trades are those of the proposal;
    /// - the reason has at most 1,024 bytes.
    function cancelBatch(
        uint256 batchId,
        address[] calldata accounts,
        int256[] calldata nets,
        uint256[] calldata words,
        string calldata reason
    ) external;

    /// @notice Moves the order of finalization past cancelled batches; `finalizeBatch` does it for
    /// up to 32.
    /// @param limit how many batches to pass at the most
    function skipCancelled(uint256 limit) external;

    // -------------------------------------------------------------- oversight

    /// @notice Pauses deposits, proposals and finalizations. Withdrawals and cancellations go on.
    /// @dev Requirements:
    /// - the caller is a pauser;
    /// - nothing is paused yet.
    function pause() external;

    /// @notice Resumes deposits, proposals and finalizations.
    /// @dev Requirements:
    /// - the caller is the admin;
    /// - the contract is paused.
    function unpause() external;

    // ------------------------------------------------------------------ views

    /// @notice What an account may withdraw or trade with, in base units.
    function balanceOf(address account) external view returns (uint256);

    /// @notice The sum of all balances, in base units.
    function totalBalance() external view returns (uint256);

    /// @notice What the debtors of all proposed batches owe, in base units.
    function totalLocked() external view returns (uint256);

    /// @notice Whether a trade is in a batch that is proposed or finalized.
    function isSettled(uint64 seq) external view returns (bool);

    /// @notice The state of a batch.
    function batchStatus(uint256 batchId) external view returns (BatchStatus);

    /// @notice The batch that was proposed under a key, or zero.
    function batchOfKey(bytes32 key) external view returns (uint256 batchId);

    /// @notice The key that a batch was proposed under, or zero.
    function keyOf(uint256 batchId) external view returns (bytes32 key);

    /// @notice The time from which a batch may be finalized, or zero.
    function finalizableAt(uint256 batchId) external view returns (uint64);

    /// @notice The Merkle root of a batch's trades, or zero.
    function tradesRootOf(uint256 batchId) external view returns (bytes32);

    /// @notice How many batches were ever proposed.
    function batchCount() external view returns (uint256);

    /// @notice The lowest batch that is neither finalized nor cancelled: the next in the order of
    /// finalization. It may not be proposed yet.
    function nextToFinalize() external view returns (uint256 batchId);

    /// @notice Whether a trade is one of a batch. Says nothing of the batch's state.
    /// @param proof the siblings from the leaf up
    function verifyTrade(uint256 batchId, Trade calldata trade, bytes32[] calldata proof)
        external
        view
        returns (bool);

    /// @notice Whether deposits, proposals and finalizations are paused.
    function paused() external view returns (bool);

    /// @notice The ERC-20 of all balances.
    function currency() external view returns (address);

    /// @notice How many base units of the currency are a cent.
    function unitsPerCent() external view returns (uint256);

    /// @notice How long a proposal waits before it may be finalized, in seconds.
    function window() external view returns (uint64);
}
