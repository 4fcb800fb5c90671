// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Escrow and terms of a settlement
/// @notice Balances of currency and of carbon credits that trades settle with, and what the admin
/// sets: caps, fee, pause.
/// @dev An asset is a number: 0 is the currency, any other is a batch of carbon credits under its
/// ERC-1155 id. Balances of the currency are in its base units, and always whole cents; balances of
/// credits are in units of 1 kg CO2e.
///
/// The numbers VS-nn are the requirements of `contracts/SPEC.md`.
interface ISettlementEscrow {
    // ----------------------------------------------------------------- events

    /// @notice Currency came into the escrow.
    /// @param balance what the account has from now on
    event Deposited(
        address indexed account, address indexed payer, uint256 amount, uint256 balance
    );

    /// @notice Currency left the escrow: what was asked for, or in an event of its own what the
    /// currency took beside it.
    /// @param balance what the account has from now on
    event Withdrawn(address indexed account, address indexed to, uint256 amount, uint256 balance);

    /// @notice Credits came into the escrow.
    /// @param asset the batch of credits
    /// @param balance what the account has of it from now on
    event CreditsDeposited(
        address indexed account,
        address indexed payer,
        uint256 indexed asset,
        uint256 amount,
        uint256 balance
    );

    /// @notice Credits left the escrow.
    /// @param asset the batch of credits
    /// @param balance what the account has of it from now on
    event CreditsWithdrawn(
        address indexed account,
        address indexed to,
        uint256 indexed asset,
        uint256 amount,
        uint256 balance
    );

    /// @notice The most that an operator settles in one call was changed.
    event CapsChanged(
        uint64 oldNotionalCap, uint64 newNotionalCap, uint64 oldCreditCap, uint64 newCreditCap
    );

    /// @notice Another fee, or another collector, was announced.
    /// @param oldBps the fee that holds until then
    /// @param effectiveAt the time from which the new ones hold
    event FeeChanged(
        uint16 oldBps, uint16 newBps, address oldCollector, address newCollector, uint40 effectiveAt
    );

    /// @notice Deposits, settlements and finalizations were paused.
    event Paused(address account);

    /// @notice Deposits, settlements and finalizations were resumed.
    event Unpaused(address account);

    // ----------------------------------------------------------------- errors

    error ZeroAddress();
    error ZeroAmount();
    error BadReceiver(address to);
    error NotWholeCents(uint256 amount, uint256 unitsPerCent);
    error UnsupportedDecimals(uint8 decimals);
    error InsufficientBalance(address account, uint256 asset, uint256 balance, uint256 needed);
    error ForeignToken(address token);
    error MintRefused(uint256 asset);
    error AssetNotTransferable(uint256 asset);
    error BadDepositData(uint256 length);
    error FeeTooHigh(uint16 bps, uint16 limit);
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

    /// @notice Brings currency into the escrow of an account, approved by the caller's signature
    /// (ERC-2612) in the same transaction.
    /// @dev Requirements: those of `deposit`. A permit that fails, because somebody has sent it
    /// already, does no harm: then the approval that it made is there.
    /// @param deadline until when the permit is good
    function depositWithPermit(
        address account,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (uint256 credited);

    /// @notice Takes currency out of the caller's balance. No pause stops it.
    /// @dev If the currency takes a fee of the sender beside the amount, that leaves the caller's
    /// balance, too.
    ///
    /// Requirements:
    /// - the receiver is neither zero nor this contract;
    /// - the amount is more than zero, whole cents, and with such a fee no more than the caller's
    ///   balance.
    function withdraw(address to, uint256 amount) external;

    /// @notice Takes credits out of the caller's balance. No pause here stops it; the credits'
    /// contract refuses it while it refuses transfers of that batch.
    /// @dev Credits come in by an ERC-1155 transfer to this contract: to the sender's balance, or
    /// to that of the account whose ABI encoding is the transfer's data.
    ///
    /// Requirements:
    /// - the receiver is neither zero nor this contract;
    /// - the amount is more than zero and no more than the caller's balance.
    function withdrawCredits(address to, uint256 asset, uint256 amount) external;

    // -------------------------------------------------------------- oversight

    /// @notice Sets the most that an operator settles in one call. Zero is nothing.
    /// @dev Requirements: the caller is the admin.
    /// @param notionalCap_ the sum of the trades' totals, all as if positive, in cents
    /// @param creditCap_ the sum of the trades' quantities of credits, in kilograms
    function setCaps(uint64 notionalCap_, uint64 creditCap_) external;

    /// @notice Announces another fee and who gets it. A batch has the fee of its proposal; whoever
    /// is the collector when it is final gets it.
    /// @dev Both hold from `FEE_DELAY` later on, with no further call; an announcement that does not
    /// hold yet is replaced.
    ///
    /// Requirements:
    /// - the caller is the admin;
    /// - the fee is at most `MAX_FEE_BPS`, the collector is not zero.
    /// @param bps of what a creditor gains, in hundredths of a percent
    function setFee(uint16 bps, address collector) external;

    /// @notice Pauses deposits, settlements and finalizations. Withdrawals, cancellations and
    /// disputes go on.
    /// @dev Requirements:
    /// - the caller is a pauser;
    /// - nothing is paused yet.
    function pause() external;

    /// @notice Resumes deposits, settlements and finalizations.
    /// @dev Requirements:
    /// - the caller is the admin;
    /// - the contract is paused.
    function unpause() external;

    // ------------------------------------------------------------------ views

    /// @notice What an account may withdraw or trade with, in base units of the currency.
    function balanceOf(address account) external view returns (uint256);

    /// @notice What an account may withdraw or trade with of a batch of credits.
    function creditBalanceOf(address account, uint256 asset) external view returns (uint256);

    /// @notice The sum of all balances, in base units of the currency.
    function totalBalance() external view returns (uint256);

    /// @notice What the debtors of all open batches owe and the bonds of all disputes, in base
    /// units of the currency.
    function totalLocked() external view returns (uint256);

    /// @notice Of an asset, the sum of all balances and what is locked. The contract holds what
    /// they come to, and whatever currency was sent to it without a deposit.
    function totalsOf(uint256 asset) external view returns (uint256 balances, uint256 locked);

    /// @notice The most that an operator settles in one call, in cents: the sum of the trades'
    /// totals, all as if positive.
    function notionalCap() external view returns (uint64);

    /// @notice The most credits that an operator settles in one call, in kilograms.
    function creditCap() external view returns (uint64);

    /// @notice The fee that holds now, in hundredths of a percent of what a creditor gains.
    function feeBps() external view returns (uint16);

    /// @notice Who gets fees and lost bonds now.
    function feeCollector() external view returns (address);

    /// @notice The last announcement, and from when it holds; zero time when there was none.
    function pendingFee() external view returns (uint16 bps, address collector, uint40 effectiveAt);

    /// @notice Whether deposits, settlements and finalizations are paused.
    function paused() external view returns (bool);

    /// @notice The ERC-20 of all cash balances.
    function currency() external view returns (address);

    /// @notice The ERC-1155 of all credit balances.
    function credits() external view returns (address);

    /// @notice How many base units of the currency are a cent.
    function unitsPerCent() external view returns (uint256);
}
