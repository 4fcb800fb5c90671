// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {CreditRegistry} from "./CreditRegistry.sol";
import {ICreditOversight} from "./interfaces/ICreditOversight.sol";
import {BatchWord} from "./libraries/BatchWord.sol";
import {Oversight} from "./libraries/Oversight.sol";

/// @title Who may stop a batch of credits, and who may put it right
/// @dev Assumed: suspender, reverser and admin are different parties; the admin answers a suspension
/// and a dispute in time, for nothing but the admin ends them.
///
/// Promised: a batch is invalidated by two keys, days apart and in public. Anyone who can prove that
/// a meter counts in two batches stops both, once. Who stops cannot resume. What is done to a batch
/// stands in `libraries/Oversight.sol`; who may do it stands here.
abstract contract CreditOversight is CreditRegistry, ICreditOversight {
    // -------------------------------------------------------------- constants

    bytes32 public constant PAUSER_ROLE = keccak256("PAUSER_ROLE");
    bytes32 public constant SUSPENDER_ROLE = keccak256("SUSPENDER_ROLE");
    bytes32 public constant REVERSER_ROLE = keccak256("REVERSER_ROLE");

    // ------------------------------------------------ suspension, pause, expiry

    /// @inheritdoc ICreditOversight
    function suspend(uint256 batchId) external onlyRole(SUSPENDER_ROLE) {
        Oversight.suspend(_book, batchId);
    }

    /// @inheritdoc ICreditOversight
    function reinstate(uint256 batchId) external onlyRole(DEFAULT_ADMIN_ROLE) {
        Oversight.reinstate(_book, batchId);
    }

    /// @inheritdoc ICreditOversight
    function expire(uint256 batchId) external {
        Oversight.expire(_book, batchId);
    }

    /// @inheritdoc ICreditOversight
    function pause() external onlyRole(PAUSER_ROLE) {
        if (paused()) revert EnforcedPause();
        _book.counters.pausedAt = uint32(block.timestamp);
        emit Paused(msg.sender);
    }

    /// @inheritdoc ICreditOversight
    function unpause() external onlyRole(DEFAULT_ADMIN_ROLE) {
        if (!paused()) revert ExpectedPause();
        _book.counters.pausedAt = 0;
        emit Unpaused(msg.sender);
    }

    // --------------------------------------------------- disputes, invalidation

    /// @inheritdoc ICreditOversight
    function proveOverlap(ProvenReading calldata first, ProvenReading calldata second) external {
        Oversight.proveOverlap(_book, first, second);
    }

    /// @inheritdoc ICreditOversight
    function proposeInvalidation(uint256 batchId, string calldata reason)
        external
        onlyRole(REVERSER_ROLE)
    {
        Oversight.proposeInvalidation(_book, batchId, reason);
    }

    /// @inheritdoc ICreditOversight
    function executeInvalidation(uint256 batchId) external onlyRole(DEFAULT_ADMIN_ROLE) {
        Oversight.executeInvalidation(_book, batchId);
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc ICreditOversight
    function statusOf(uint256 batchId) external view returns (Status) {
        return _book.batches[batchId].status();
    }

    /// @inheritdoc ICreditOversight
    function isTransferable(uint256 batchId) external view returns (bool) {
        BatchWord batch = _book.batches[batchId];
        return batch.status() == Status.Active && !batch.isPast();
    }

    /// @inheritdoc ICreditOversight
    function verifyReading(ProvenReading calldata proven) external view returns (uint256 batchId) {
        return Oversight.verifyReading(_book, proven);
    }

    /// @inheritdoc ICreditOversight
    function invalidationOf(uint256 batchId) external view returns (Invalidation memory) {
        return _book.invalidations[batchId];
    }

    /// @inheritdoc ICreditOversight
    function deficitOf(uint256 batchId) external view returns (uint64) {
        return _book.deficits[batchId];
    }

    /// @inheritdoc ICreditOversight
    function isOverlapProven(uint256 firstBatchId, uint256 secondBatchId)
        external
        view
        returns (bool)
    {
        return _book.overlaps[Oversight.pairOf(firstBatchId, secondBatchId)];
    }

    /// @inheritdoc ICreditOversight
    function paused() public view returns (bool) {
        return _book.counters.pausedAt != 0;
    }
}
