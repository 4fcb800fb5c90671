// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICarbonCredit} from "../interfaces/ICarbonCredit.sol";
import {BatchWord} from "./BatchWord.sol";
import {Book, CreditBook} from "./CreditBook.sol";

/// @title What is booked when units are cancelled, or retired for an invalidated batch
/// @dev A linked library: its code runs in the ledger, at an address that is part of the ledger's
/// code. The ledger has burnt the units already; what reverts here undoes that too.
library Cancellation {
    using CreditBook for Book;

    // ----------------------------------------------------------- cancellation

    /// @dev The holder's units: the highest serials that are left.
    function cancel(
        Book storage book,
        bytes32 key,
        uint256 batchId,
        uint64 amount,
        string calldata reason
    ) external {
        CreditBook.requireShort(reason, CreditBook.MAX_TEXT);

        BatchWord batch = book.batches[batchId];
        uint64 cancelledTotal = batch.cancelled() + amount;
        book.batches[batchId] = batch.withCancelled(uint40(cancelledTotal));

        uint64 first = batch.issued() - cancelledTotal + 1;
        (uint64 seq, bytes32 head) = book.seal(
            keccak256(
                abi.encode(
                    ICarbonCredit.Cancelled.selector,
                    key,
                    batchId,
                    msg.sender,
                    first,
                    amount,
                    cancelledTotal,
                    reason
                )
            )
        );
        emit ICarbonCredit.Cancelled(
            key, batchId, msg.sender, first, amount, cancelledTotal, reason, seq, head
        );
    }

    // ------------------------------------------------------------ replacement

    /// @dev The buffer's units, retired for those of another batch.
    function replace(
        Book storage book,
        bytes32 key,
        uint256 batchId,
        uint256 replacedBatchId,
        uint64 retirementId,
        uint64 amount,
        uint64 retiredTotal
    ) external {
        uint64 deficitLeft = _takeFromDeficit(book, batchId, replacedBatchId, amount);

        uint64 first = retiredTotal - amount + 1;
        (uint64 seq, bytes32 head) = book.seal(
            keccak256(
                abi.encode(
                    ICarbonCredit.Replaced.selector,
                    key,
                    batchId,
                    replacedBatchId,
                    retirementId,
                    first,
                    amount,
                    retiredTotal,
                    deficitLeft
                )
            )
        );
        emit ICarbonCredit.Replaced(
            key,
            batchId,
            replacedBatchId,
            retirementId,
            first,
            amount,
            retiredTotal,
            deficitLeft,
            seq,
            head
        );
    }

    function _takeFromDeficit(
        Book storage book,
        uint256 batchId,
        uint256 replacedBatchId,
        uint64 amount
    ) private returns (uint64 deficitLeft) {
        uint32 classId = _classOf(book, batchId);
        uint32 replacedClassId = _classOf(book, replacedBatchId);
        if (classId != replacedClassId) {
            revert ICarbonCredit.ClassDiffers(classId, replacedClassId);
        }
        uint64 deficit = book.deficits[replacedBatchId];
        if (amount > deficit) revert ICarbonCredit.AboveDeficit(amount, deficit);
        deficitLeft = deficit - amount;
        book.deficits[replacedBatchId] = deficitLeft;
    }

    /// @dev The class of a batch, whose site is in its id; zero when the site is not registered.
    function _classOf(Book storage book, uint256 batchId) private view returns (uint32) {
        return book.projects[book.sites[uint32(batchId >> 32)].projectId].classId;
    }
}
