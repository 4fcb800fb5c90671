// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {ICredit} from "../base/CreditPark.sol";
import {CreditModel} from "./CreditModel.sol";

/// @title Everybody who acts on CarbonCredit, each function once
/// @dev Nothing here may revert. Where the model says that the contract refuses, the refusal is
/// expected; where it says that the contract accepts, the act must go through.
contract CreditHandler is CreditModel {
    /// @dev Acts need a batch: until there is one, one is issued.
    modifier withBatch() {
        if (batches.length == 0) this.issue(0, AMOUNT, MONTH);
        _;
        readLogs();
    }

    modifier logged() {
        _;
        readLogs();
    }

    // ---------------------------------------------------------------- register

    function registerClass(uint64 cap) external logged {
        if (classes == MAX_ENTRIES) return;
        vm.prank(registrar);
        uint32 classId = credit.registerClass(code(), "methodology", cap);
        capOfClass[classId] = cap;
        vm.assertEq(classId, ++classes, "class ids count");
    }

    function setClassCap(uint256 classSeed, uint64 cap) external logged {
        uint32 classId = uint32(bound(classSeed, 0, classes + 1));
        if (classId == 0 || classId > classes) refused();
        else capOfClass[classId] = cap;
        vm.prank(registrar);
        credit.setClassCap(classId, cap);
    }

    function registerProject(uint256 classSeed) external logged {
        if (projects == MAX_ENTRIES) return;
        uint32 classId = uint32(bound(classSeed, 1, classes));
        string memory code_ = code();
        vm.prank(registrar);
        vm.assertEq(credit.registerProject(classId, owner, code_), ++projects, "project ids count");
    }

    function registerSite(uint256 projectSeed) external logged {
        if (sites == MAX_ENTRIES) return;
        uint32 projectId = uint32(bound(projectSeed, 1, projects));
        string memory code_ = code();
        vm.prank(registrar);
        vm.assertEq(credit.registerSite(projectId, code_), ++sites, "site ids count");
    }

    // ---------------------------------------------------------------- issuance

    function issue(uint256 holderSeed, uint256 amountSeed, uint256 lengthSeed) external logged {
        if (batches.length == MAX_BATCHES) return;
        ICarbonCredit.Claim memory claim = goodClaim();
        claim.recipient = anyHolder(holderSeed);
        claim.amount = uint64(bound(amountSeed, 0, 1e6));
        claim.evidenceTotal = 1e6;
        claim.periodEnd = claim.periodStart + uint32(bound(lengthSeed, 0, MONTH));
        bool good = claim.amount != 0 && claim.periodEnd > claim.periodStart
            && claim.periodEnd <= block.timestamp && !pausedModel
            && issuedInClass[1] + claim.amount <= capOfClass[1];
        if (good) {
            modelIssue(issue(claim), claim);
        } else {
            bytes memory signature = signed(claim);
            refused();
            vm.prank(issuer);
            credit.issue(claim, verifier, signature);
        }
    }

    /// @dev The key or the evidence root of any batch, again.
    function issueAgain(uint256 batchSeed, bool sameKey) external withBatch {
        if (batches.length == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        ICarbonCredit.Claim memory claim = goodClaim();
        if (sameKey) claim.key = batchModel[batchId].key;
        else claim.evidenceRoot = batchModel[batchId].root;
        issueRefused(
            claim,
            sameKey
                ? abi.encodeWithSelector(ICarbonCredit.KeyUsed.selector, claim.key)
                : abi.encodeWithSelector(
                    ICarbonCredit.EvidenceRootUsed.selector, claim.evidenceRoot
                )
        );
    }

    // ----------------------------------------------------------------- holding

    function safeTransferFrom(
        uint256 fromSeed,
        uint256 toSeed,
        uint256 operatorSeed,
        uint256 batchSeed,
        uint256 amountSeed
    ) external withBatch {
        if (batches.length == 0) return;
        (address from, address to) = (anyHolder(fromSeed), anyHolder(toSeed));
        address operator = anyHolder(operatorSeed);
        uint256 batchId = anyBatch(batchSeed);
        uint256 amount = bound(amountSeed, 0, held[batchId][from] + 1);
        bool good = !pausedModel && isActive(batchId) && amount <= held[batchId][from]
            && (operator == from || approved[from][operator]);
        if (good) modelMove(batchId, from, to, amount);
        else refused();
        vm.prank(operator);
        credit.safeTransferFrom(from, to, batchId, amount, "");
    }

    function safeBatchTransferFrom(
        uint256 fromSeed,
        uint256 toSeed,
        uint256 batchSeed,
        uint256 share
    ) external withBatch {
        if (batches.length == 0) return;
        (address from, address to) = (anyHolder(fromSeed), anyHolder(toSeed));
        uint256[] memory ids = new uint256[](2);
        uint256[] memory amounts = new uint256[](2);
        ids[0] = anyBatch(batchSeed);
        ids[1] = anyBatch(batchSeed / 3 + 1);
        bool good = !pausedModel && isActive(ids[0]) && isActive(ids[1]);
        for (uint256 i; i < 2; ++i) {
            amounts[i] = held[ids[i]][from] * bound(share, 0, 100) / 200;
            if (good) modelMove(ids[i], from, to, amounts[i]);
        }
        if (!good) refused();
        vm.prank(from);
        credit.safeBatchTransferFrom(from, to, ids, amounts, "");
    }

    function setApprovalForAll(uint256 holderSeed, uint256 operatorSeed, bool approval)
        external
        logged
    {
        (address holder, address operator) = (anyHolder(holderSeed), anyHolder(operatorSeed));
        approved[holder][operator] = approval;
        vm.prank(holder);
        credit.setApprovalForAll(operator, approval);
    }

    // ----------------------------------------------- retirement, cancellation

    function retire(uint256 holderSeed, uint256 batchSeed, uint256 amountSeed) external withBatch {
        if (batches.length == 0) return;
        (address holder, uint256 batchId) = (anyHolder(holderSeed), anyBatch(batchSeed));
        uint64 amount = uint64(bound(amountSeed, 0, held[batchId][holder] + 1));
        bool good = isActive(batchId) && amount != 0 && amount <= held[batchId][holder];
        if (good) modelRetire(batchId, holder, amount);
        else refused();
        vm.prank(holder);
        uint64 id = credit.retire("key", batchId, amount, details());
        if (good) vm.assertEq(id, retirements, "retirements count");
    }

    function cancel(uint256 holderSeed, uint256 batchSeed, uint256 amountSeed) external withBatch {
        if (batches.length == 0) return;
        (address holder, uint256 batchId) = (anyHolder(holderSeed), anyBatch(batchSeed));
        uint64 amount = uint64(bound(amountSeed, 0, held[batchId][holder] + 1));
        if (isActive(batchId) && amount != 0 && amount <= held[batchId][holder]) {
            modelCancel(batchId, holder, amount);
        } else {
            refused();
        }
        vm.prank(holder);
        credit.cancel("key", batchId, amount, "reason");
    }

    // --------------------------------------------------------------- oversight

    function suspend(uint256 batchSeed) external withBatch {
        if (batches.length == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        if (isActive(batchId)) batchModel[batchId].status = ICarbonCredit.Status.Suspended;
        else refused();
        vm.prank(suspender);
        credit.suspend(batchId);
    }

    function unsuspend(uint256 batchSeed) external withBatch {
        if (batches.length == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        if (batchModel[batchId].status == ICarbonCredit.Status.Suspended) {
            batchModel[batchId].status = ICarbonCredit.Status.Active;
        } else {
            refused();
        }
        vm.prank(admin);
        credit.unsuspend(batchId);
    }

    function pause() external logged {
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

    /// @dev Time goes on, so that there is something to issue for.
    function wait_(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, MONTH));
    }

    /// @dev Somebody without a role tries whatever needs one.
    function trespass(uint256 which, uint256 batchSeed) external withBatch {
        if (batches.length == 0) return;
        uint256 batchId = anyBatch(batchSeed);
        bytes[8] memory calls = [
            abi.encodeCall(ICarbonCredit.registerClass, (code(), "", 1)),
            abi.encodeCall(ICarbonCredit.setClassCap, (1, 1)),
            abi.encodeCall(ICarbonCredit.registerProject, (1, owner, code())),
            abi.encodeCall(ICarbonCredit.registerSite, (1, code())),
            abi.encodeCall(ICarbonCredit.suspend, (batchId)),
            abi.encodeCall(ICarbonCredit.unsuspend, (batchId)),
            abi.encodeCall(ICarbonCredit.pause, ()),
            abi.encodeCall(ICarbonCredit.unpause, ())
        ];
        vm.prank(stranger);
        (bool ok,) = address(credit).call(calls[which % calls.length]);
        vm.assertTrue(!ok, "a stranger was let in");
    }

    // -------------------------------------------------------------- the suite

    function contractUnderTest() external view returns (ICredit) {
        return credit;
    }

    /// @dev What a campaign may call.
    function acts() external pure returns (bytes4[] memory selectors) {
        selectors = new bytes4[](17);
        selectors[0] = this.registerClass.selector;
        selectors[1] = this.setClassCap.selector;
        selectors[2] = this.registerProject.selector;
        selectors[3] = this.registerSite.selector;
        selectors[4] = this.issue.selector;
        selectors[5] = this.issueAgain.selector;
        selectors[6] = this.safeTransferFrom.selector;
        selectors[7] = this.safeBatchTransferFrom.selector;
        selectors[8] = this.setApprovalForAll.selector;
        selectors[9] = this.retire.selector;
        selectors[10] = this.cancel.selector;
        selectors[11] = this.suspend.selector;
        selectors[12] = this.unsuspend.selector;
        selectors[13] = this.pause.selector;
        selectors[14] = this.unpause.selector;
        selectors[15] = this.wait_.selector;
        selectors[16] = this.trespass.selector;
    }

    /// @dev Everybody retires what is left, whatever else has happened.
    function retireAll() external logged {
        for (uint256 b; b < batches.length; ++b) {
            uint256 batchId = batches[b];
            if (batchModel[batchId].status == ICarbonCredit.Status.Suspended) {
                vm.prank(admin);
                credit.unsuspend(batchId);
            }
            for (uint256 i; i < holders.length; ++i) {
                uint64 rest = uint64(held[batchId][holders[i]]);
                if (rest == 0) continue;
                modelRetire(batchId, holders[i], rest);
                vm.prank(holders[i]);
                credit.retire("last", batchId, rest, details());
            }
            vm.assertEq(credit.totalSupply(batchId), 0, "something is left");
        }
    }

    function code() private returns (string memory) {
        return string(bytes.concat("code ", bytes16(newKey())));
    }
}
