// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {IVppSettlement} from "./interfaces/IVppSettlement.sol";
import {Netting} from "./libraries/Netting.sol";
import {TradeMarks} from "./libraries/TradeMarks.sol";

/// @title Settlement of the trades of virtual power plants
/// @dev Assumed: the operator proposes only trades that both parties made (their consent is
/// attested, not proven, in this version); the currency does not change balances by itself; the
/// admin is a timelock or a multisignature account.
///
/// Promised: the contract holds at least the sum of all balances and all that is locked. Every
/// batch moves money from account to account and sums to zero. The total of a trade is its quantity
/// times its price. A trade is settled once at most. Batches are finalized in their order and not
/// before their window is over; a cancelled one leaves no trace in balances or marks. Nobody but an
/// account itself takes money out, and no pause stops it.
contract VppSettlement is IVppSettlement, AccessControlDefaultAdminRules, ReentrancyGuardTransient {
    using SafeERC20 for IERC20Metadata;
    using TradeMarks for TradeMarks.Marks;

    /// @dev Found by its key, which every leaf of its tree holds. `netsHash` commits to accounts and
    /// nets, so that finalization need not compute them again.
    struct Batch {
        uint64 id;
        uint64 finalizableAt;
        BatchStatus status;
        bytes32 tradesRoot;
        bytes32 netsHash;
    }

    // -------------------------------------------------------------- constants

    bytes32 public constant OPERATOR_ROLE = keccak256("OPERATOR_ROLE");
    bytes32 public constant PAUSER_ROLE = keccak256("PAUSER_ROLE");

    /// @notice The most trades of a batch. With neighbouring numbers they fit one transaction of
    /// 16,777,216 gas and 128 KB; trades whose numbers are far apart cost a storage word each.
    uint256 public constant MAX_TRADES = 2000;

    /// @notice The most accounts of a batch.
    uint256 public constant MAX_ACCOUNTS = 200;

    /// @notice The longest text in an event, in bytes.
    uint256 public constant MAX_TEXT = 1024;

    /// @dev How many cancelled batches a finalization passes by itself.
    uint256 private constant MAX_SKIP = 32;

    IERC20Metadata private immutable CURRENCY;

    /// @inheritdoc IVppSettlement
    uint256 public immutable unitsPerCent;

    /// @inheritdoc IVppSettlement
    uint64 public immutable window;

    // ---------------------------------------------------------------- storage

    /// @inheritdoc IVppSettlement
    mapping(address account => uint256 units) public balanceOf;

    /// @dev Of the currency, what belongs to somebody: all balances and all that is locked.
    uint256 private _held;

    /// @inheritdoc IVppSettlement
    uint256 public totalLocked;

    uint64 private _batchCount;

    /// @dev No batch below it is proposed; it may point at cancelled ones.
    uint64 private _next = 1;

    bool private _paused;

    /// @inheritdoc IVppSettlement
    mapping(uint256 batchId => bytes32 key) public keyOf;

    mapping(bytes32 key => Batch) private _batches;
    TradeMarks.Marks private _settled;

    // ------------------------------------------------------------ constructor

    /// @param admin the one account that may grant roles and unpause
    /// @param adminDelay how long a change of the admin waits, in seconds
    /// @param currency_ the ERC-20 of all balances, of two decimals at least
    /// @param window_ how long a proposal waits before it may be finalized, in seconds
    constructor(address admin, uint48 adminDelay, address currency_, uint64 window_)
        AccessControlDefaultAdminRules(adminDelay, admin)
    {
        uint8 decimals = IERC20Metadata(currency_).decimals();
        if (decimals < 2 || decimals > 36) revert UnsupportedDecimals(decimals);
        CURRENCY = IERC20Metadata(currency_);
        unitsPerCent = 10 ** (decimals - 2);
        window = window_;
    }

    modifier whenNotPaused() {
        if (_paused) revert EnforcedPause();
        _;
    }

    // ----------------------------------------------------------------- escrow

    /// @inheritdoc IVppSettlement
    function deposit(address account, uint256 amount)
        external
        whenNotPaused
        nonReentrant
        returns (uint256 credited)
    {
        if (account == address(0)) revert ZeroAddress();

        uint256 before = CURRENCY.balanceOf(address(this));
        CURRENCY.safeTransferFrom(msg.sender, address(this), amount);
        credited = CURRENCY.balanceOf(address(this)) - before;
        _requireWholeCents(credited);

        balanceOf[account] += credited;
        _held += credited;

        emit Deposited(account, msg.sender, credited, balanceOf[account]);
    }

    /// @inheritdoc IVppSettlement
    function withdraw(address to, uint256 amount) external nonReentrant {
        if (to == address(0)) revert ZeroAddress();
        if (to == address(this)) revert BadReceiver(to);
        _requireWholeCents(amount);

        _debit(msg.sender, amount);
        _held -= amount;

        emit Withdrawn(msg.sender, to, amount, balanceOf[msg.sender]);

        CURRENCY.safeTransfer(to, amount);
    }

    function _debit(address account, uint256 units) private {
        uint256 balance = balanceOf[account];
        if (balance < units) revert InsufficientBalance(account, balance, units);
        balanceOf[account] = balance - units;
    }

    function _requireWholeCents(uint256 amount) private view {
        if (amount == 0) revert ZeroAmount();
        if (amount % unitsPerCent != 0) revert NotWholeCents(amount, unitsPerCent);
    }

    // ---------------------------------------------------------------- batches

    /// @inheritdoc IVppSettlement
    function proposeBatch(bytes32 key, address[] calldata accounts, uint256[] calldata words)
        external
        whenNotPaused
        onlyRole(OPERATOR_ROLE)
        returns (uint256 batchId)
    {
        if (key == 0) revert EmptyKey();
        if (_batches[key].id != 0) revert KeyUsed(key);
        if (words.length > MAX_TRADES) revert TooManyTrades(words.length, MAX_TRADES);
        if (accounts.length > MAX_ACCOUNTS) revert TooManyAccounts(accounts.length, MAX_ACCOUNTS);

        (int256[] memory nets, bytes32 tradesRoot) = Netting.net(key, accounts, words);
        _settled.mark(words);
        _lock(accounts, nets);

        batchId = ++_batchCount;
        uint64 finalizableAt_ = uint64(block.timestamp) + window;
        keyOf[batchId] = key;
        _batches[key] = Batch({
            id: uint64(batchId),
            finalizableAt: finalizableAt_,
            status: BatchStatus.Proposed,
            tradesRoot: tradesRoot,
            netsHash: keccak256(abi.encode(accounts, nets))
        });

        emit BatchProposed(key, batchId, tradesRoot, finalizableAt_, accounts, nets, words);
    }

    /// @inheritdoc IVppSettlement
    function finalizeBatch(uint256 batchId, address[] calldata accounts, int256[] calldata nets)
        external
        whenNotPaused
    {
        bytes32 key = keyOf[batchId];
        Batch storage batch = _requireProposed(batchId, key, accounts, nets);
        if (block.timestamp < batch.finalizableAt) revert WindowOpen(batchId, batch.finalizableAt);
        skipCancelled(MAX_SKIP);
        if (batchId != _next) revert OutOfOrder(batchId, _next);

        batch.status = BatchStatus.Finalized;
        ++_next;
        _unlock(accounts, nets, true);

        emit BatchFinalized(key, batchId, batch.tradesRoot);
    }

    /// @inheritdoc IVppSettlement
    function cancelBatch(
        uint256 batchId,
        address[] calldata accounts,
        int256[] calldata nets,
        uint256[] calldata words,
        string calldata reason
    ) external onlyRole(OPERATOR_ROLE) {
        if (bytes(reason).length > MAX_TEXT) {
            revert TextTooLong(bytes(reason).length, MAX_TEXT);
        }
        bytes32 key = keyOf[batchId];
        Batch storage batch = _requireProposed(batchId, key, accounts, nets);
        (, bytes32 tradesRoot) = Netting.net(key, accounts, words);
        if (tradesRoot != batch.tradesRoot) revert WrongTrades(batchId);

        batch.status = BatchStatus.Cancelled;
        _settled.unmark(words);
        _unlock(accounts, nets, false);

        emit BatchCancelled(key, batchId, reason);
    }

    /// @inheritdoc IVppSettlement
    function skipCancelled(uint256 limit) public {
        uint64 next = _next;
        for (uint256 i; i < limit && batchStatus(next) == BatchStatus.Cancelled; ++i) {
            ++next;
        }
        _next = next;
    }

    function _requireProposed(
        uint256 batchId,
        bytes32 key,
        address[] calldata accounts,
        int256[] calldata nets
    ) private view returns (Batch storage batch) {
        batch = _batches[key];
        if (batch.status != BatchStatus.Proposed) revert BatchNotProposed(batchId, batch.status);
        if (keccak256(abi.encode(accounts, nets)) != batch.netsHash) revert WrongNets(batchId);
    }

    /// @dev Takes from the debtors what they owe on the whole.
    function _lock(address[] calldata accounts, int256[] memory nets) private {
        uint256 locked;
        int256 sum;
        for (uint256 i; i < nets.length; ++i) {
            sum += nets[i];
            if (nets[i] < 0) {
                uint256 units = uint256(-nets[i]) * unitsPerCent;
                _debit(accounts[i], units);
                locked += units;
            }
        }
        assert(sum == 0);
        totalLocked += locked;
    }

    /// @dev Gives what was locked to the creditors, or back to the debtors.
    function _unlock(address[] calldata accounts, int256[] calldata nets, bool toCreditors)
        private
    {
        uint256 unlocked;
        for (uint256 i; i < nets.length; ++i) {
            int256 gain = toCreditors ? nets[i] : -nets[i];
            if (gain > 0) {
                uint256 units = uint256(gain) * unitsPerCent;
                balanceOf[accounts[i]] += units;
                unlocked += units;
            }
        }
        totalLocked -= unlocked;
    }

    // -------------------------------------------------------------- oversight

    /// @inheritdoc IVppSettlement
    function pause() external onlyRole(PAUSER_ROLE) whenNotPaused {
        _paused = true;
        emit Paused(msg.sender);
    }

    /// @inheritdoc IVppSettlement
    function unpause() external onlyRole(DEFAULT_ADMIN_ROLE) {
        if (!_paused) revert ExpectedPause();
        _paused = false;
        emit Unpaused(msg.sender);
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc IVppSettlement
    function totalBalance() external view returns (uint256) {
        return _held - totalLocked;
    }

    /// @inheritdoc IVppSettlement
    function isSettled(uint64 seq) external view returns (bool) {
        return _settled.isMarked(seq);
    }

    /// @inheritdoc IVppSettlement
    function batchStatus(uint256 batchId) public view returns (BatchStatus) {
        return _batches[keyOf[batchId]].status;
    }

    /// @inheritdoc IVppSettlement
    function batchOfKey(bytes32 key) external view returns (uint256 batchId) {
        return _batches[key].id;
    }

    /// @inheritdoc IVppSettlement
    function finalizableAt(uint256 batchId) external view returns (uint64) {
        return _batches[keyOf[batchId]].finalizableAt;
    }

    /// @inheritdoc IVppSettlement
    function tradesRootOf(uint256 batchId) external view returns (bytes32) {
        return _batches[keyOf[batchId]].tradesRoot;
    }

    /// @inheritdoc IVppSettlement
    function batchCount() external view returns (uint256) {
        return _batchCount;
    }

    /// @inheritdoc IVppSettlement
    function nextToFinalize() external view returns (uint256 batchId) {
        batchId = _next;
        while (batchStatus(batchId) == BatchStatus.Cancelled) ++batchId;
    }

    /// @inheritdoc IVppSettlement
    function verifyTrade(uint256 batchId, Trade calldata trade, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        bytes32 key = keyOf[batchId];
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(key, trade))));
        return key != 0 && MerkleProof.verifyCalldata(proof, _batches[key].tradesRoot, leaf);
    }

    /// @inheritdoc IVppSettlement
    function paused() external view returns (bool) {
        return _paused;
    }

    /// @inheritdoc IVppSettlement
    function currency() external view returns (address) {
        return address(CURRENCY);
    }
}
