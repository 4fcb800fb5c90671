// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {IERC1155} from "@openzeppelin/contracts/token/ERC1155/IERC1155.sol";
import {IERC1155Receiver} from "@openzeppelin/contracts/token/ERC1155/IERC1155Receiver.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";

import {SettlementTerms} from "./SettlementTerms.sol";
import {ICreditOversight} from "./interfaces/ICreditOversight.sol";
import {ISettlementEscrow} from "./interfaces/ISettlementEscrow.sol";
import {AssetBook} from "./libraries/AssetBook.sol";

/// @title The escrow of a settlement: what comes in, what goes out, and whose it is
abstract contract SettlementEscrow is SettlementTerms, ReentrancyGuardTransient, IERC1155Receiver {
    using SafeERC20 for IERC20Metadata;
    using AssetBook for AssetBook.Book;

    // -------------------------------------------------------------- constants

    /// @dev The number of the currency among the assets.
    uint256 internal constant CASH = 0;

    IERC20Metadata private immutable CURRENCY;
    IERC1155 private immutable CREDITS;

    /// @inheritdoc ISettlementEscrow
    uint256 public immutable unitsPerCent;

    // ---------------------------------------------------------------- storage

    mapping(uint256 asset => AssetBook.Book) internal _books;

    // ------------------------------------------------------------ constructor

    constructor(address currency_, address credits_) {
        if (credits_ == address(0)) revert ZeroAddress();
        uint8 decimals = IERC20Metadata(currency_).decimals();
        if (decimals < 2 || decimals > 36) revert UnsupportedDecimals(decimals);
        CURRENCY = IERC20Metadata(currency_);
        CREDITS = IERC1155(credits_);
        unitsPerCent = 10 ** (decimals - 2);
    }

    // --------------------------------------------------------------- currency

    /// @inheritdoc ISettlementEscrow
    function deposit(address account, uint256 amount) external returns (uint256 credited) {
        return _deposit(account, amount);
    }

    /// @inheritdoc ISettlementEscrow
    function depositWithPermit(
        address account,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (uint256 credited) {
        // Whoever saw the permit may have sent it before: what counts is the allowance it left.
        try IERC20Permit(address(CURRENCY))
            .permit(msg.sender, address(this), amount, deadline, v, r, s) {}
            catch {}
        return _deposit(account, amount);
    }

    /// @inheritdoc ISettlementEscrow
    function withdraw(address to, uint256 amount) external nonReentrant {
        _requireReceiver(to);
        uint256 before = _custody();
        _bookWithdrawal(to, amount);

        CURRENCY.safeTransfer(to, amount);

        // A currency may take a fee of who sends, beside the amount: it is borne by who withdraws.
        uint256 accounted = _custody() + amount;
        if (accounted < before) _bookWithdrawal(to, before - accounted);
    }

    function _bookWithdrawal(address to, uint256 amount) private {
        _requireWholeCents(amount);
        uint256 balance = _debitOut(CASH, amount);

        emit Withdrawn(msg.sender, to, amount, balance);
    }

    function _deposit(address account, uint256 amount)
        private
        whenNotPaused
        nonReentrant
        returns (uint256 credited)
    {
        _requireReceiver(account);

        uint256 before = _custody();
        CURRENCY.safeTransferFrom(msg.sender, address(this), amount);
        credited = _custody() - before;
        _requireWholeCents(credited);

        uint256 balance = _creditIn(CASH, account, credited);

        emit Deposited(account, msg.sender, credited, balance);
    }

    function _requireWholeCents(uint256 amount) private view {
        uint256 cent = _units(1);
        if (amount == 0) revert ZeroAmount();
        if (amount % cent != 0) revert NotWholeCents(amount, cent);
    }

    /// @dev What of the currency this contract has, by the currency's word.
    function _custody() private view returns (uint256) {
        return CURRENCY.balanceOf(address(this));
    }

    function _units(uint256 cents) internal view returns (uint256) {
        return cents * unitsPerCent;
    }

    // ---------------------------------------------------------------- credits

    /// @notice Books credits that were sent here. Called by their contract, within the transfer.
    function onERC1155Received(
        address,
        address from,
        uint256 id,
        uint256 value,
        bytes calldata data
    ) external returns (bytes4) {
        _receive(from, id, value, data);
        return IERC1155Receiver.onERC1155Received.selector;
    }

    /// @notice The same for several batches of credits in one transfer.
    function onERC1155BatchReceived(
        address,
        address from,
        uint256[] calldata ids,
        uint256[] calldata values,
        bytes calldata data
    ) external returns (bytes4) {
        if (ids.length == 0) revert ZeroAmount();
        for (uint256 i; i < ids.length; ++i) {
            _receive(from, ids[i], values[i], data);
        }
        return IERC1155Receiver.onERC1155BatchReceived.selector;
    }

    /// @inheritdoc ISettlementEscrow
    function withdrawCredits(address to, uint256 asset, uint256 amount) external nonReentrant {
        _requireReceiver(to);
        if (asset == CASH) revert AssetNotTransferable(asset);
        if (amount == 0) revert ZeroAmount();

        uint256 balance = _debitOut(asset, amount);

        emit CreditsWithdrawn(msg.sender, to, asset, amount, balance);

        CREDITS.safeTransferFrom(address(this), to, asset, amount, "");
    }

    /// @dev The balance that grows is the sender's, unless the data names another. A mint is no
    /// deposit, nor is what another token's contract tells.
    function _receive(address from, uint256 asset, uint256 amount, bytes calldata data)
        private
        whenNotPaused
    {
        if (msg.sender != address(CREDITS)) revert ForeignToken(msg.sender);
        if (from == address(0)) revert MintRefused(asset);
        if (asset == CASH) revert AssetNotTransferable(asset);
        if (data.length != 0 && data.length != 32) revert BadDepositData(data.length);
        if (amount == 0) revert ZeroAmount();
        address account = data.length == 0 ? from : abi.decode(data, (address));
        _requireReceiver(account);

        uint256 balance = _creditIn(asset, account, amount);

        emit CreditsDeposited(account, from, asset, amount, balance);
    }

    /// @dev Energy is not transferred, so it always may; credits may while their contract says so.
    function _isTransferable(uint256 asset) internal view returns (bool) {
        return asset == CASH || ICreditOversight(address(CREDITS)).isTransferable(asset);
    }

    // ------------------------------------------------------------------ books

    function _creditIn(uint256 asset, address account, uint256 units)
        private
        returns (uint256 balance)
    {
        _books[asset].held += units;
        return _books[asset].credit(account, units);
    }

    function _debitOut(uint256 asset, uint256 units) private returns (uint256 balance) {
        balance = _books[asset].debit(asset, msg.sender, units);
        _books[asset].held -= units;
    }

    function _requireReceiver(address to) private view {
        if (to == address(0)) revert ZeroAddress();
        if (to == address(this)) revert BadReceiver(to);
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc ISettlementEscrow
    function balanceOf(address account) external view returns (uint256) {
        return _books[CASH].balanceOf[account];
    }

    /// @inheritdoc ISettlementEscrow
    function creditBalanceOf(address account, uint256 asset) external view returns (uint256) {
        return _books[asset].balanceOf[account];
    }

    /// @inheritdoc ISettlementEscrow
    function totalBalance() external view returns (uint256 balances) {
        (balances,) = totalsOf(CASH);
    }

    /// @inheritdoc ISettlementEscrow
    function totalLocked() external view returns (uint256) {
        return _books[CASH].locked;
    }

    /// @inheritdoc ISettlementEscrow
    function totalsOf(uint256 asset) public view returns (uint256 balances, uint256 locked) {
        locked = _books[asset].locked;
        balances = _books[asset].held - locked;
    }

    /// @inheritdoc ISettlementEscrow
    function currency() external view returns (address) {
        return address(CURRENCY);
    }

    /// @inheritdoc ISettlementEscrow
    function credits() external view returns (address) {
        return address(CREDITS);
    }

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId)
        public
        view
        override(AccessControlDefaultAdminRules, IERC165)
        returns (bool)
    {
        return interfaceId == type(IERC1155Receiver).interfaceId
            || super.supportsInterface(interfaceId);
    }
}
