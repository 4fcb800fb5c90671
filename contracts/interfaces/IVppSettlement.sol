// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Settlement of the trades of virtual power plants
/// @notice An escrow ledger in one currency; batches of trades are netted, priced and checked on chain.
interface IVppSettlement {
    // ------------------------------------------------------------------ types

    enum BatchStatus {
        None,
        Proposed,
        Finalized,
        Cancelled
    }

    // ----------------------------------------------------------------- events

    event Deposited(address indexed account, address indexed payer, uint256 amount, uint256 balance);
    event Withdrawn(address indexed account, address indexed to, uint256 amount, uint256 balance);
    /// @param words the trades, 32 bytes each: seq u64 | buyer u16 | seller u16 | quantity u48 (0.001) | price i48 (0.0001) | cents i64
    /// @param nets what each account gains (positive) or owes (negative), in cents; sums to zero
    event BatchProposed(bytes32 indexed key, uint256 indexed batchId, bytes32 tradesRoot, uint64 finalizableAt, address[] accounts, int256[] nets, uint256[] words);
    event BatchFinalized(bytes32 indexed key, uint256 indexed batchId, bytes32 tradesRoot);
    event BatchCancelled(bytes32 indexed key, uint256 indexed batchId, string reason);

    // ----------------------------------------------------------------- errors

    error ZeroAddress();
    error ZeroAmount();
    error InsufficientBalance(address account, uint256 balance, uint256 needed);
    error EmptyBatch();
    error EmptyKey();
    error KeyUsed(bytes32 key);
    error TooManyTrades(uint256 trades, uint256 limit);
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

    // -------------------------------------------------------------- functions

    function deposit(address account, uint256 amount) external returns (uint256 credited);
    function withdraw(address to, uint256 amount) external;
    function proposeBatch(bytes32 key, address[] calldata accounts, uint256[] calldata words) external returns (uint256 batchId);
    function finalizeBatch(uint256 batchId, address[] calldata accounts, int256[] calldata nets) external;
    function cancelBatch(uint256 batchId, address[] calldata accounts, int256[] calldata nets, uint256[] calldata words, string calldata reason) external;
    function pause() external;
    function unpause() external;

    function balanceOf(address account) external view returns (uint256);
    function totalBalance() external view returns (uint256);
    function totalLocked() external view returns (uint256);
    function isSettled(uint64 seq) external view returns (bool);
    function batchStatus(uint256 batchId) external view returns (BatchStatus);
    function batchOfKey(bytes32 key) external view returns (uint256 batchId);
    function tradesRootOf(uint256 batchId) external view returns (bytes32);
    function nextToFinalize() external view returns (uint256 batchId);
    function verifyTrade(uint256 batchId, uint256 word, bytes32[] calldata proof) external view returns (bool);
    function currency() external view returns (address);
    function unitsPerCent() external view returns (uint256);
    function window() external view returns (uint64);
}
