// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";

import {ISettlementEscrow} from "./interfaces/ISettlementEscrow.sol";

/// @title The terms of a settlement: roles, caps, fee, pause
abstract contract SettlementTerms is ISettlementEscrow, AccessControlDefaultAdminRules {
    // -------------------------------------------------------------- constants

    bytes32 public constant OPERATOR_ROLE = keccak256("OPERATOR_ROLE");
    bytes32 public constant ARBITER_ROLE = keccak256("ARBITER_ROLE");
    bytes32 public constant PAUSER_ROLE = keccak256("PAUSER_ROLE");

    /// @notice A member of the market, who may send what all parties of a batch have signed.
    bytes32 public constant MEMBER_ROLE = keccak256("MEMBER_ROLE");

    /// @notice The highest fee, in hundredths of a percent.
    uint16 public constant MAX_FEE_BPS = 100;

    /// @notice How long a new fee is announced before it holds, in seconds.
    uint40 public constant FEE_DELAY = 7 days;

    uint256 private constant BPS = 10_000;

    // ---------------------------------------------------------------- storage

    // What every settlement reads shares one slot, with the counters of batches, of which 40 bits are
    // more than there will ever be.

    uint40 internal _batchCount;

    /// @dev No batch below it is open; it may point at a closed one.
    uint40 internal _next = 1;

    bool private _paused;

    /// @dev How long all pauses held that are over, in seconds.
    uint32 internal _pausedBefore;

    uint16 private _feeBps;
    uint16 private _nextFeeBps;

    /// @dev From when the next fee holds; zero when none was ever announced.
    uint40 private _nextFeeFrom;

    /// @inheritdoc ISettlementEscrow
    uint64 public notionalCap;

    address private _feeCollector;

    /// @inheritdoc ISettlementEscrow
    uint64 public creditCap;

    address private _nextFeeCollector;

    /// @dev When the pause began, if one holds.
    uint40 private _pausedAt;

    // ------------------------------------------------------------ constructor

    /// @dev For the constructor, whose stack bears no further base with arguments.
    function _initTerms(uint64 notionalCap_, uint64 creditCap_, address feeCollector_) internal {
        if (feeCollector_ == address(0)) revert ZeroAddress();
        notionalCap = notionalCap_;
        creditCap = creditCap_;
        _feeCollector = feeCollector_;
    }

    modifier whenNotPaused() {
        _requireNotPaused();
        _;
    }

    // -------------------------------------------------------------- oversight

    /// @inheritdoc ISettlementEscrow
    function setCaps(uint64 notionalCap_, uint64 creditCap_) external onlyRole(DEFAULT_ADMIN_ROLE) {
        emit CapsChanged(notionalCap, notionalCap_, creditCap, creditCap_);
        notionalCap = notionalCap_;
        creditCap = creditCap_;
    }

    /// @inheritdoc ISettlementEscrow
    function setFee(uint16 bps, address collector) external onlyRole(DEFAULT_ADMIN_ROLE) {
        if (bps > MAX_FEE_BPS) revert FeeTooHigh(bps, MAX_FEE_BPS);
        if (collector == address(0)) revert ZeroAddress();

        uint16 oldBps = feeBps();
        address oldCollector = feeCollector();
        uint40 effectiveAt = uint40(block.timestamp) + FEE_DELAY;
        (_feeBps, _feeCollector) = (oldBps, oldCollector);
        (_nextFeeBps, _nextFeeCollector, _nextFeeFrom) = (bps, collector, effectiveAt);

        emit FeeChanged(oldBps, bps, oldCollector, collector, effectiveAt);
    }

    /// @inheritdoc ISettlementEscrow
    function pause() external onlyRole(PAUSER_ROLE) whenNotPaused {
        _paused = true;
        _pausedAt = uint40(block.timestamp);
        emit Paused(msg.sender);
    }

    /// @inheritdoc ISettlementEscrow
    function unpause() external onlyRole(DEFAULT_ADMIN_ROLE) {
        if (!_paused) revert ExpectedPause();
        _paused = false;
        unchecked {
            _pausedBefore += uint32(block.timestamp - _pausedAt);
        }
        emit Unpaused(msg.sender);
    }

    function _requireNotPaused() private view {
        if (_paused) revert EnforcedPause();
    }

    /// @dev Whether a pause holds, and all pauses have come to so many seconds.
    function _hasPausedFor(uint256 time) internal view returns (bool) {
        unchecked {
            return _paused && _pausedBefore + block.timestamp - _pausedAt >= time;
        }
    }

    /// @dev Rounded down, in favour of the creditor.
    function _feeDown(uint256 cents) internal view returns (uint256) {
        return cents * feeBps() / BPS;
    }

    function _nextFeeHolds() private view returns (bool) {
        return _nextFeeFrom != 0 && _nextFeeFrom <= block.timestamp;
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc ISettlementEscrow
    function feeBps() public view returns (uint16) {
        return _nextFeeHolds() ? _nextFeeBps : _feeBps;
    }

    /// @inheritdoc ISettlementEscrow
    function feeCollector() public view returns (address) {
        return _nextFeeHolds() ? _nextFeeCollector : _feeCollector;
    }

    /// @inheritdoc ISettlementEscrow
    function pendingFee()
        external
        view
        returns (uint16 bps, address collector, uint40 effectiveAt)
    {
        return (_nextFeeBps, _nextFeeCollector, _nextFeeFrom);
    }

    /// @inheritdoc ISettlementEscrow
    function paused() external view returns (bool) {
        return _paused;
    }
}
