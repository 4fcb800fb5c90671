// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {ICreditOversight} from "../../../contracts/interfaces/ICreditOversight.sol";
import {CreditModel} from "./CreditModel.sol";

/// @title Issuers, holders and registrars who act on CarbonCredit, each function once
/// @dev Nothing here may revert. Where the model says that the contract refuses, the refusal is
/// expected; where it says that the contract accepts, the act must go through.
abstract contract CreditActs is CreditModel {
    mapping(address holder => uint256) public nonces;

    /// @dev Acts need a batch: until there is one, one is issued.
    modifier withBatch() {
        if (batches.length == 0) issue(0, AMOUNT - AMOUNT % 4 + 1, MONTH, 0, 0);
        _;
        readLogs();
    }

    modifier logged() {
        _;
        readLogs();
    }

    // ---------------------------------------------------------------- register

    function registerClass(uint64 cap, uint16 bufferBps) external logged {
        if (classes == MAX_ENTRIES) return;
        string memory code_ = code();
        if (bufferBps > 5000) refused();
        vm.prank(registrar);
        uint32 classId = credit.registerClass(code_, "methodology", cap, bufferBps);
        if (bufferBps > 5000) return;
        capOfClass[classId] = cap;
        bufferOfClass[classId] = bufferBps;
        vm.assertEq(classId, ++classes, "class ids count");
    }

    function setClassBuffer(uint256 classSeed, uint256 bufferSeed) external logged {
        uint32 classId = uint32(bound(classSeed, 0, classes + 1));
        uint16 bufferBps = uint16(bound(bufferSeed, 0, 5100));
        if (classId == 0 || classId > classes || bufferBps > 5000) refused();
        else bufferOfClass[classId] = bufferBps;
        vm.prank(registrar);
        credit.setClassBuffer(classId, bufferBps);
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

    function issue(
        uint256 holderSeed,
        uint256 amountSeed,
        uint256 lengthSeed,
        uint256 gapSeed,
        uint256 siteSeed
    ) public logged {
        if (batches.length == MAX_BATCHES) return;
        ICarbonCredit.Claim memory claim = goodClaim();
        claim.siteId = siteSeed % 2 == 0 ? 1 : 3;
        claim.periodStart = nextStart(claim.siteId) + uint32(bound(gapSeed, 0, MONTH / 4));
        claim.periodEnd = claim.periodStart + uint32(bound(lengthSeed, 0, MONTH));
        _issue(claim, holderSeed, amountSeed, true);
    }

    /// @dev Into the gap before a batch, or a second too far on one side.
    function backfill(
        uint256 holderSeed,
        uint256 amountSeed,
        uint256 batchSeed,
        uint256 startSeed,
        uint256 lengthSeed
    ) external withBatch {
        if (batches.length == 0 || batches.length == MAX_BATCHES) return;
        uint256 nextId = anyBatch(batchSeed);
        uint32 from = batchModel[nextId].gapStart;
        uint32 until = _claims[nextId].periodStart;
        ICarbonCredit.Claim memory claim = goodClaim();
        claim.siteId = uint32(nextId >> 32);
        claim.backfillBefore = uint32(nextId);
        claim.periodStart = uint32(bound(startSeed, from == 0 ? until - MONTH : from - 1, until));
        claim.periodEnd = uint32(bound(lengthSeed, claim.periodStart, until + 1));
        bool fits = claim.periodStart >= from && claim.periodEnd <= until;
        _issue(claim, holderSeed, amountSeed, fits);
    }

    function _issue(
        ICarbonCredit.Claim memory claim,
        uint256 holderSeed,
        uint256 amountSeed,
        bool fits
    ) private {
        claim.recipient = anyHolder(holderSeed);
        claim.amount = uint64(bound(amountSeed, 0, 1e6));
        claim.evidenceTotal = 1e6 - uint64(amountSeed % 3);
        if (amountSeed % 4 == 0) claim.expiresAt = uint32(block.timestamp + amountSeed % MONTH);
        bytes32 meter = holderSeed % 2 == 0 ? bytes32("meter") : bytes32("another");
        claim.evidenceRoot = leafOf(readingOf(claim, meter));
        bool good = fits && claim.amount != 0 && claim.amount <= claim.evidenceTotal
            && claim.periodEnd > claim.periodStart && claim.periodEnd <= block.timestamp
            && !pausedModel && issuedInClass[1] + claim.amount <= capOfClass[1]
            && (claim.expiresAt == 0 || claim.expiresAt > block.timestamp);
        if (!good) {
            bytes memory signature = signed(claim);
            refused();
            vm.prank(issuer);
            credit.issue(claim, verifier, signature);
            return;
        }
        uint256 batchId = issue(claim);
        modelIssue(batchId, claim);
        _meters[batchId] = meter;
    }

    /// @dev The key or the evidence root of any batch, again.
    function issueAgain(uint256 batchSeed, bool sameKey) external withBatch {
        if (batches.length == 0) return;
        ICarbonCredit.Claim memory first = _claims[anyBatch(batchSeed)];
        ICarbonCredit.Claim memory claim = goodClaim();
        if (sameKey) claim.key = first.key;
        else claim.evidenceRoot = first.evidenceRoot;
        bytes memory signature = signed(claim);
        refused();
        vm.prank(issuer);
        credit.issue(claim, verifier, signature);
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
        bool good = !pausedModel && moves(batchId) && amount <= held[batchId][from]
            && (operator == from || approvedModel[from][operator]);
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
        bool good = !pausedModel && moves(ids[0]) && moves(ids[1]);
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
        approvedModel[holder][operator] = approval;
        vm.prank(holder);
        credit.setApprovalForAll(operator, approval);
    }

    // ----------------------------------------------- retirement, cancellation

    function retire(uint256 holderSeed, uint256 batchSeed, uint256 amountSeed) external withBatch {
        if (batches.length == 0) return;
        (address holder, uint256 batchId) = (anyHolder(holderSeed), anyBatch(batchSeed));
        uint64 amount = uint64(bound(amountSeed, 0, held[batchId][holder] + 1));
        bool good = moves(batchId) && amount != 0 && amount <= held[batchId][holder];
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
        if (moves(batchId) && amount != 0 && amount <= held[batchId][holder]) {
            modelCancel(batchId, holder, amount);
        } else {
            refused();
        }
        vm.prank(holder);
        credit.cancel("key", batchId, amount, "reason");
    }

    /// @dev Two batches at once, which may be the same one.
    function retireBatch(uint256 holderSeed, uint256 batchSeed, uint256 amountSeed)
        external
        withBatch
    {
        if (batches.length == 0) return;
        address holder = anyHolder(holderSeed);
        uint256[] memory ids = new uint256[](2);
        uint64[] memory amounts = new uint64[](2);
        (ids[0], ids[1]) = (anyBatch(batchSeed), anyBatch(batchSeed / 3 + 1));
        amounts[0] = uint64(bound(amountSeed, 0, held[ids[0]][holder] / 2));
        amounts[1] = uint64(bound(amountSeed / 7, 0, held[ids[1]][holder] / 2));
        bool good = moves(ids[0]) && moves(ids[1]) && amounts[0] != 0 && amounts[1] != 0;
        uint256 firstId = retirements + 1;
        if (good) {
            modelRetire(ids[0], holder, amounts[0]);
            modelRetire(ids[1], holder, amounts[1]);
        } else {
            refused();
        }
        vm.prank(holder);
        uint64 id = credit.retireBatch("key", ids, amounts, details());
        if (good) vm.assertEq(id, firstId, "retirements count");
    }

    /// @dev Sent by a stranger; signed by the holder for its next nonce, or for another.
    function retireFor(
        uint256 holderSeed,
        uint256 batchSeed,
        uint256 amountSeed,
        uint256 nonceSeed,
        bool late
    ) external withBatch {
        if (batches.length == 0) return;
        ICarbonCredit.RetirementOrder memory order;
        order.holder = anyHolder(holderSeed);
        order.key = "key";
        order.batchId = anyBatch(batchSeed);
        uint256 balance = held[order.batchId][order.holder];
        order.amount = uint64(bound(amountSeed, 0, balance + 1));
        order.details = details();
        uint256 nonce = nonces[order.holder];
        order.nonce = nonceSeed % 4 == 0 && nonce != 0 ? nonce - 1 : nonce;
        order.deadline = uint64(late ? block.timestamp - 1 : block.timestamp);
        bytes memory signature = signedBy(keyOf(holderSeed), digestOf(order));
        bool good = !late && order.nonce == nonce && moves(order.batchId) && order.amount != 0
            && order.amount <= balance;
        if (good) {
            modelRetire(order.batchId, order.holder, order.amount);
            ++nonces[order.holder];
        } else {
            refused();
        }
        vm.prank(stranger);
        credit.retireFor(order, signature);
    }

    function permitForAll(uint256 holderSeed, uint256 operatorSeed, bool approval, bool forged)
        external
        logged
    {
        (address holder, address operator) = (anyHolder(holderSeed), anyHolder(operatorSeed));
        uint64 deadline = uint64(block.timestamp);
        bytes32 digest = digestOfApproval(holder, operator, approval, nonces[holder], deadline);
        bytes memory signature = signedBy(keyOf(holderSeed % PEOPLE + (forged ? 1 : 0)), digest);
        if (forged) {
            refused();
        } else {
            approvedModel[holder][operator] = approval;
            ++nonces[holder];
        }
        vm.prank(stranger);
        credit.permitForAll(holder, operator, approval, deadline, signature);
    }

    function code() internal returns (string memory) {
        return string(bytes.concat("code ", bytes16(newKey())));
    }
}
