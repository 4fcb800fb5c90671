// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {ICreditOversight} from "../../../contracts/interfaces/ICreditOversight.sol";
import {ICreditRegistry} from "../../../contracts/interfaces/ICreditRegistry.sol";
import {ICredit} from "../base/CreditPark.sol";
import {CreditActs} from "./CreditActs.sol";

/// @title Who stops batches of CarbonCredit and puts them right, each function once
contract CreditHandler is CreditActs {
    // ------------------------------------------------- suspension, pause, expiry

    function suspend(uint256 batchSeed) external withBatch {
        if (batches.length == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        if (is_(batchId, ICreditOversight.Status.Active)) {
            batchModel[batchId].status = ICreditOversight.Status.Suspended;
        } else {
            refused();
        }
        vm.prank(suspender);
        credit.suspend(batchId);
    }

    function reinstate(uint256 batchSeed) external withBatch {
        if (batches.length == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        bool stopped = is_(batchId, ICreditOversight.Status.Suspended)
            || is_(batchId, ICreditOversight.Status.Disputed);
        if (stopped) {
            batchModel[batchId].status = ICreditOversight.Status.Active;
            batchModel[batchId].proposer = address(0);
            batchModel[batchId].executableAt = 0;
        } else {
            refused();
        }
        vm.prank(admin);
        credit.reinstate(batchId);
    }

    function expire(uint256 batchSeed) external withBatch {
        if (batches.length == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        if (is_(batchId, ICreditOversight.Status.Active) && isPast(batchId)) {
            batchModel[batchId].status = ICreditOversight.Status.Expired;
        } else {
            refused();
        }
        vm.prank(stranger);
        credit.expire(batchId);
    }

    /// @dev One time in four, so that a campaign is not mostly paused.
    function pause(uint256 seed) external logged {
        if (seed % 4 != 0) return;
        if (pausedModel) refused();
        pausedModel = true;
        vm.prank(pauser);
        credit.pause();
    }

    function unpause() external logged {
        if (!pausedModel) refused();
        pausedModel = false;
        vm.prank(admin);
        credit.unpause();
    }

    // --------------------------------------------------- disputes, invalidation

    function proveOverlap(uint256 firstSeed, uint256 secondSeed, bool altered) external withBatch {
        if (batches.length == 0) return;
        (uint256 firstId, uint256 secondId) = (anyBatch(firstSeed), anyBatch(secondSeed));
        ICarbonCredit.Claim memory first = _claims[firstId];
        ICarbonCredit.Claim memory second = _claims[secondId];
        ICreditOversight.ProvenReading memory one = _proven(firstId);
        ICreditOversight.ProvenReading memory other = _proven(secondId);
        if (altered) other.reading.digits += 1;
        bool good = firstId != secondId && !altered && _meters[firstId] == _meters[secondId]
            && first.periodStart < second.periodEnd && second.periodStart < first.periodEnd
            && !is_(firstId, ICreditOversight.Status.Cancelled)
            && !is_(secondId, ICreditOversight.Status.Cancelled)
            && !overlapProven[firstId][secondId];
        if (good) {
            overlapProven[firstId][secondId] = overlapProven[secondId][firstId] = true;
            batchModel[firstId].status = ICreditOversight.Status.Disputed;
            batchModel[secondId].status = ICreditOversight.Status.Disputed;
        } else {
            refused();
        }
        vm.prank(stranger);
        credit.proveOverlap(one, other);
    }

    function proposeInvalidation(uint256 batchSeed) external withBatch {
        if (batches.length == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        BatchModel storage batch = batchModel[batchId];
        if (is_(batchId, ICreditOversight.Status.Cancelled) || batch.proposer != address(0)) {
            refused();
        } else {
            batch.status = ICreditOversight.Status.Disputed;
            batch.proposer = reverser;
            batch.executableAt = block.timestamp + 7 days;
        }
        vm.prank(reverser);
        credit.proposeInvalidation(batchId, "reason");
    }

    function executeInvalidation(uint256 batchSeed) external withBatch {
        if (batches.length == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        BatchModel storage batch = batchModel[batchId];
        if (batch.proposer == address(0) || block.timestamp < batch.executableAt) {
            refused();
        } else {
            batch.status = ICreditOversight.Status.Cancelled;
            batch.deficit = batch.retired;
            batch.proposer = address(0);
            batch.executableAt = 0;
        }
        vm.prank(admin);
        credit.executeInvalidation(batchId);
    }

    function replace(uint256 batchSeed, uint256 replacedSeed, uint256 amountSeed)
        external
        withBatch
    {
        if (batches.length == 0) return;
        (uint256 batchId, uint256 replacedId) = (anyBatch(batchSeed), anyBatch(replacedSeed));
        uint64 deficit = batchModel[replacedId].deficit;
        uint64 amount = uint64(bound(amountSeed, 0, uint256(deficit) + 1));
        uint256 buffered = held[batchId][address(credit)];
        if (amount > buffered && amountSeed % 2 == 0) amount = uint64(buffered);
        if (moves(batchId) && amount != 0 && amount <= buffered && amount <= deficit) {
            modelRetire(batchId, address(credit), amount);
            batchModel[replacedId].deficit -= amount;
        } else {
            refused();
        }
        vm.prank(reverser);
        credit.replace("key", batchId, replacedId, amount);
    }

    function _proven(uint256 batchId)
        private
        view
        returns (ICreditOversight.ProvenReading memory proven)
    {
        proven.evidenceRoot = _claims[batchId].evidenceRoot;
        proven.reading = readingOf(_claims[batchId], _meters[batchId]);
    }

    // ------------------------------------------------------------ time, strangers

    /// @dev Time goes on, so that there is something to issue for.
    function wait_(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, MONTH));
    }

    /// @dev Somebody without a role tries whatever needs one.
    function trespass(uint256 which, uint256 batchSeed) external withBatch {
        if (batches.length == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        bytes[12] memory calls = [
            abi.encodeCall(ICreditRegistry.registerClass, (code(), "", 1, 0)),
            abi.encodeCall(ICreditRegistry.setClassCap, (1, 1)),
            abi.encodeCall(ICreditRegistry.setClassBuffer, (1, 1)),
            abi.encodeCall(ICreditRegistry.registerProject, (1, owner, code())),
            abi.encodeCall(ICreditRegistry.registerSite, (1, code())),
            abi.encodeCall(ICreditOversight.suspend, (batchId)),
            abi.encodeCall(ICreditOversight.reinstate, (batchId)),
            abi.encodeCall(ICreditOversight.pause, ()),
            abi.encodeCall(ICreditOversight.unpause, ()),
            abi.encodeCall(ICreditOversight.proposeInvalidation, (batchId, "")),
            abi.encodeCall(ICreditOversight.executeInvalidation, (batchId)),
            abi.encodeCall(ICarbonCredit.replace, ("key", batchId, anyBatch(which), 1))
        ];
        refused();
        vm.prank(stranger);
        // Of a call by hand the answer is whether the refusal came as expected.
        (bool asExpected,) = address(credit).call(calls[which % calls.length]);
        vm.assertTrue(asExpected, "a stranger was let in");
    }

    // ------------------------------------------------------------- at the end

    /// @dev Everybody retires what is left of all that moves, whatever else has happened; nothing
    /// moves of what does not.
    function retireAll() external logged {
        for (uint256 b; b < batches.length; ++b) {
            uint256 batchId = batches[b];
            bool stopped = is_(batchId, ICreditOversight.Status.Suspended)
                || is_(batchId, ICreditOversight.Status.Disputed);
            if (stopped) {
                vm.prank(admin);
                credit.reinstate(batchId);
                batchModel[batchId].status = ICreditOversight.Status.Active;
            }
            if (!moves(batchId)) continue;
            for (uint256 i; i < PEOPLE; ++i) {
                uint64 rest = uint64(held[batchId][holders[i]]);
                if (rest == 0) continue;
                modelRetire(batchId, holders[i], rest);
                vm.prank(holders[i]);
                credit.retire("last", batchId, rest, details());
            }
            vm.assertEq(
                credit.totalSupply(batchId),
                held[batchId][address(credit)],
                "only the buffer is left"
            );
        }
    }

    // -------------------------------------------------------------- the suite

    function contractUnderTest() external view returns (ICredit) {
        return credit;
    }

    /// @dev What a campaign may call.
    function acts() external pure returns (bytes4[] memory selectors) {
        bytes4[26] memory all = [
            this.registerClass.selector,
            this.setClassCap.selector,
            this.setClassBuffer.selector,
            this.registerProject.selector,
            this.registerSite.selector,
            this.issue.selector,
            this.backfill.selector,
            this.issueAgain.selector,
            this.safeTransferFrom.selector,
            this.safeBatchTransferFrom.selector,
            this.setApprovalForAll.selector,
            this.permitForAll.selector,
            this.retire.selector,
            this.retireBatch.selector,
            this.retireFor.selector,
            this.cancel.selector,
            this.suspend.selector,
            this.reinstate.selector,
            this.expire.selector,
            this.pause.selector,
            this.unpause.selector,
            this.proveOverlap.selector,
            this.proposeInvalidation.selector,
            this.executeInvalidation.selector,
            this.replace.selector,
            this.wait_.selector
        ];
        selectors = new bytes4[](all.length + 1);
        for (uint256 i; i < all.length; ++i) {
            selectors[i] = all[i];
        }
        selectors[all.length] = this.trespass.selector;
    }
}
