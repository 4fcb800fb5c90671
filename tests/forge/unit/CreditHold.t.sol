// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {ICreditOversight} from "../../../contracts/interfaces/ICreditOversight.sol";
import {ICreditRegistry} from "../../../contracts/interfaces/ICreditRegistry.sol";
import {CreditPark} from "../base/CreditPark.sol";
import {Vm} from "../base/Test.sol";

/// @title Retirement, cancellation, the register and oversight: what is refused, with which words
contract CreditHoldTest is CreditPark {
    uint256 private batchId;
    ICarbonCredit.Retirement private why;

    function setUp() public {
        buildPark();
        batchId = issue(goodClaim());
    }

    // ----------------------------------------------- retirement, cancellation

    /// @notice CC-44: a key is given, and an amount.
    function testKeyAndAmountAreGiven() public {
        vm.startPrank(owner);
        vm.expectRevert(ICarbonCredit.EmptyKey.selector);
        credit.retire(0, batchId, 1, why);
        vm.expectRevert(ICarbonCredit.ZeroAmount.selector);
        credit.retire("key", batchId, 0, why);
        vm.expectRevert(ICarbonCredit.EmptyKey.selector);
        credit.cancel(0, batchId, 1, "");
        vm.expectRevert(ICarbonCredit.ZeroAmount.selector);
        credit.cancel("key", batchId, 0, "");
        vm.stopPrank();
    }

    /// @notice CC-44: texts have at most 1,024 bytes.
    function testTextsAreShort() public {
        bytes memory long = abi.encodeWithSelector(ICreditRegistry.TextTooLong.selector, 1025, 1024);
        why.beneficiary = string(new bytes(1025));
        refusesRetirement(long);
        why.beneficiary = string(new bytes(1024));
        why.reason = string(new bytes(1025));
        refusesRetirement(long);
        why.reason = string(new bytes(1024));
        vm.prank(owner);
        credit.retire("key", batchId, 1, why);

        vm.prank(owner);
        vm.expectRevert(long);
        credit.cancel("key", batchId, 1, string(new bytes(1025)));
        vm.prank(owner);
        credit.cancel("key", batchId, 1, string(new bytes(1024)));
    }

    /// @notice CC-44: a country is two capitals or none.
    function testCountry() public {
        bytes2[8] memory bad = [bytes2("fr"), "F", "F1", "1F", "@F", "F@", "[F", "F["];
        for (uint256 i; i < bad.length; ++i) {
            why.country = bad[i];
            refusesRetirement(abi.encodeWithSelector(ICarbonCredit.BadCountry.selector, bad[i]));
        }
        bytes2[3] memory good = [bytes2("AZ"), "ZA", 0];
        for (uint256 i; i < good.length; ++i) {
            why.country = good[i];
            vm.prank(owner);
            credit.retire("key", batchId, 1, why);
        }
    }

    /// @notice CC-44: a consumption does not end before it starts.
    function testConsumption() public {
        (why.consumptionStart, why.consumptionEnd) = (2, 1);
        refusesRetirement(abi.encodeWithSelector(ICarbonCredit.BadPeriod.selector, 2, 1));
        why.consumptionEnd = 2;
        vm.prank(owner);
        credit.retire("key", batchId, 1, why);
    }

    /// @notice CC-41, CC-42: serials from the bottom, from the top, to the last one.
    function testSerials() public {
        vm.recordLogs();
        retire(owner, batchId, 10);
        cancel(owner, batchId, 5);
        retire(owner, batchId, 1);
        cancel(owner, batchId, AMOUNT - 16);
        bytes32[4] memory firsts;
        uint256 count;
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] == ICarbonCredit.Retired.selector) {
                (, uint64 first) = abi.decode(logs[i].data, (uint64, uint64));
                firsts[count++] = bytes32(uint256(first));
            } else if (logs[i].topics[0] == ICarbonCredit.Cancelled.selector) {
                firsts[count++] = bytes32(logs[i].data);
            }
        }
        vm.assertEq(firsts[0], bytes32(uint256(1)), "first retirement");
        vm.assertEq(firsts[1], bytes32(uint256(AMOUNT - 4)), "first cancellation");
        vm.assertEq(firsts[2], bytes32(uint256(11)), "second retirement");
        vm.assertEq(firsts[3], bytes32(uint256(12)), "second cancellation");
        vm.assertEq(credit.totalSupply(batchId), 0, "nothing is left");
    }

    /// @notice CC-45: several batches at once: as many amounts, from 1 to 100.
    function testRetireBatch() public {
        uint256[] memory ids = new uint256[](0);
        uint64[] memory amounts = new uint64[](0);
        refusesBatch(ids, amounts);
        ids = new uint256[](101);
        amounts = new uint64[](101);
        refusesBatch(ids, amounts);
        amounts = new uint64[](100);
        refusesBatch(ids, amounts);
        ids = new uint256[](100);
        for (uint256 i; i < 100; ++i) {
            (ids[i], amounts[i]) = (batchId, 1);
        }
        vm.prank(owner);
        vm.assertEq(credit.retireBatch("key", ids, amounts, why), 1, "the first id");
        vm.assertEq(credit.retirementCount(), 100, "retirements");

        why.country = "xx";
        vm.expectRevert(abi.encodeWithSelector(ICarbonCredit.BadCountry.selector, bytes2("xx")));
        vm.prank(owner);
        credit.retireBatch("key", ids, amounts, why);
    }

    /// @notice CC-36: a batch describes itself: a data URI with JSON.
    function testMetadata() public {
        retire(owner, batchId, 10);
        cancel(owner, batchId, 7);
        _expectUri("active");
        vm.prank(suspender);
        credit.suspend(batchId);
        _expectUri("suspended");
        vm.prank(reverser);
        credit.proposeInvalidation(batchId, "");
        _expectUri("disputed");
        vm.warp(block.timestamp + 7 days);
        vm.prank(admin);
        credit.executeInvalidation(batchId);
        _expectUri("cancelled");
        vm.assertEq(credit.batchOf(batchId).periodEnd, START + MONTH, "end");
    }

    function _expectUri(string memory status) private view {
        string memory json = string.concat(
            '{"name":"Carbon credit batch 1-1",'
            '"description":"Verified emission reductions of one site and one monitoring period.",'
            '"decimals":3,"properties":{"unit":"kg CO2e","status":"',
            status,
            '","issued":123851,"retired":10,"cancelled":7,"period_start":1704063600,'
            '"period_end":1706655600,"expires_at":0}}'
        );
        vm.assertEq(
            credit.uri(batchId),
            string.concat("data:application/json;base64,", vm.toBase64(bytes(json))),
            "uri"
        );
    }

    /// @notice CC-46: a signed order is used once, in time, by its holder's key alone.
    function testRetireFor() public {
        ICarbonCredit.RetirementOrder memory order = ICarbonCredit.RetirementOrder(
            owner, "key", batchId, 5, details(), 0, uint64(block.timestamp)
        );
        uint256 key = uint256(keccak256("owner"));
        bytes memory signature = signedBy(key, digestOf(order));
        vm.assertEq(credit.hashRetirement(order), digestOf(order), "digest");
        credit.retireFor(order, signature);
        vm.expectRevert(abi.encodeWithSignature("InvalidAccountNonce(address,uint256)", owner, 1));
        credit.retireFor(order, signature);

        order.nonce = 1;
        vm.expectRevert(abi.encodeWithSelector(ICarbonCredit.BadHolderSignature.selector, owner));
        credit.retireFor(order, signature);
        order.details.country = "xx";
        signature = signedBy(key, digestOf(order));
        vm.expectRevert(abi.encodeWithSelector(ICarbonCredit.BadCountry.selector, bytes2("xx")));
        credit.retireFor(order, signature);
        order.details.country = 0;
        order.deadline -= 1;
        signature = signedBy(key, digestOf(order));
        vm.expectRevert(
            abi.encodeWithSelector(ICarbonCredit.SignatureExpired.selector, order.deadline)
        );
        credit.retireFor(order, signature);
    }

    /// @notice CC-35: an approval by signature holds, and only in time.
    function testPermitForAll() public {
        uint256 key = uint256(keccak256("owner"));
        uint64 late = uint64(block.timestamp - 1);
        bytes memory signature = signedBy(key, digestOfApproval(owner, buyer, true, 0, late));
        vm.expectRevert(abi.encodeWithSelector(ICarbonCredit.SignatureExpired.selector, late));
        credit.permitForAll(owner, buyer, true, late, signature);

        bytes32 digest = digestOfApproval(owner, buyer, true, 0, late + 1);
        vm.assertEq(credit.hashApproval(owner, buyer, true, 0, late + 1), digest, "digest");
        credit.permitForAll(owner, buyer, true, late + 1, signedBy(key, digest));
        vm.assertTrue(credit.isApprovedForAll(owner, buyer), "approved");
        vm.assertEq(credit.nonces(owner), 1, "nonce");
    }

    // ---------------------------------------------------------------- register

    /// @notice CC-03: codes have 1 to 50 bytes and name one thing of their kind.
    function testCodes() public {
        bytes memory long = abi.encodeWithSelector(ICreditRegistry.TextTooLong.selector, 51, 50);
        string memory code = string(new bytes(51));
        vm.startPrank(registrar);
        vm.expectRevert(ICreditRegistry.EmptyCode.selector);
        credit.registerClass("", 0, 1, 0);
        vm.expectRevert(long);
        credit.registerClass(code, 0, 1, 0);
        vm.expectRevert(ICreditRegistry.EmptyCode.selector);
        credit.registerProject(1, owner, "");
        vm.expectRevert(long);
        credit.registerProject(1, owner, code);
        vm.expectRevert(ICreditRegistry.EmptyCode.selector);
        credit.registerSite(1, "");
        vm.expectRevert(long);
        credit.registerSite(1, code);

        code = string(new bytes(50));
        for (uint256 i; i < 2; ++i) {
            // The second time it is taken, in each kind.
            bytes memory taken = abi.encodeWithSelector(ICreditRegistry.CodeTaken.selector, code);
            if (i == 1) vm.expectRevert(taken);
            credit.registerClass(code, 0, 1, 0);
            if (i == 1) vm.expectRevert(taken);
            credit.registerProject(1, owner, code);
            if (i == 1) vm.expectRevert(taken);
            credit.registerSite(1, code);
        }
        vm.stopPrank();
        vm.assertEq(credit.classOfCode(code), 3, "class");
        vm.assertEq(credit.projectOfCode(code), 3, "project");
        vm.assertEq(credit.siteOfCode(code), 3, "site");
    }

    /// @notice CC-04, CC-06: owners and parents exist.
    function testParents() public {
        vm.startPrank(registrar);
        vm.expectRevert(abi.encodeWithSelector(ICreditRegistry.UnknownClass.selector, 0));
        credit.registerProject(0, owner, "code");
        vm.expectRevert(abi.encodeWithSelector(ICreditRegistry.UnknownClass.selector, 3));
        credit.registerProject(3, owner, "code");
        vm.expectRevert(ICreditRegistry.ZeroOwner.selector);
        credit.registerProject(1, address(0), "code");
        vm.expectRevert(abi.encodeWithSelector(ICreditRegistry.UnknownProject.selector, 3));
        credit.registerSite(3, "code");
        vm.expectRevert(abi.encodeWithSelector(ICreditRegistry.UnknownClass.selector, 3));
        credit.setClassCap(3, 1);
        vm.expectRevert(abi.encodeWithSelector(ICreditRegistry.UnknownClass.selector, 3));
        credit.setClassBuffer(3, 1);
        vm.expectRevert(abi.encodeWithSelector(ICreditRegistry.BufferTooLarge.selector, 5001, 5000));
        credit.setClassBuffer(1, 5001);
        credit.setClassBuffer(1, 5000);
        vm.stopPrank();
        ICreditRegistry.Project memory project = credit.projectOf(1);
        vm.assertEq(project.owner, owner, "owner");
        vm.assertEq(project.classId, 1, "class of a project");
        vm.assertEq(credit.siteOf(2).projectId, 2, "project of a site");
    }

    // --------------------------------------------------------------- oversight

    /// @notice CC-30, CC-33, CC-50, CC-55: what does not exist, or is not in the state, is refused in its words.
    function testStates() public {
        uint256 none = batchId + 7;
        bytes memory unknown = abi.encodeWithSelector(ICreditOversight.UnknownBatch.selector, none);
        vm.expectRevert(unknown);
        vm.prank(suspender);
        credit.suspend(none);
        vm.expectRevert(unknown);
        vm.prank(admin);
        credit.reinstate(none);
        vm.expectRevert(unknown);
        credit.expire(none);
        vm.expectRevert(unknown);
        vm.prank(reverser);
        credit.proposeInvalidation(none, "");
        vm.expectRevert(abi.encodeWithSelector(ICreditOversight.NoInvalidation.selector, none));
        vm.prank(admin);
        credit.executeInvalidation(none);
        vm.expectRevert(unknown);
        vm.prank(owner);
        credit.retire("key", none, 1, why);

        vm.prank(suspender);
        credit.suspend(batchId);
        bytes memory stopped = abi.encodeWithSelector(
            ICreditOversight.NotActive.selector, batchId, ICreditOversight.Status.Suspended
        );
        vm.expectRevert(stopped);
        vm.prank(suspender);
        credit.suspend(batchId);
        vm.expectRevert(stopped);
        credit.expire(batchId);
        vm.expectRevert(stopped);
        vm.prank(owner);
        credit.retire("key", batchId, 1, why);
    }

    /// @notice CC-51, CC-52: a pause stops issuance and transfers, and is lifted by the admin alone.
    function testPause() public {
        vm.expectRevert(ICreditOversight.ExpectedPause.selector);
        vm.prank(admin);
        credit.unpause();
        vm.prank(pauser);
        vm.expectEmit();
        emit ICreditOversight.Paused(pauser);
        credit.pause();
        vm.expectRevert(ICreditOversight.EnforcedPause.selector);
        vm.prank(pauser);
        credit.pause();
        issueRefused(goodClaim(), abi.encodeWithSelector(ICreditOversight.EnforcedPause.selector));
        vm.expectRevert(ICreditOversight.EnforcedPause.selector);
        vm.prank(owner);
        credit.safeTransferFrom(owner, buyer, batchId, 1, "");
        retire(owner, batchId, 1);
        cancel(owner, batchId, 1);
        vm.expectRevert(refusedFor(pauser, 0));
        vm.prank(pauser);
        credit.unpause();
        vm.prank(admin);
        vm.expectEmit();
        emit ICreditOversight.Unpaused(admin);
        credit.unpause();
        transfer(owner, buyer, batchId, 1);
    }

    /// @notice CC-56, CC-57: an invalidation needs two keys and seven days, and leaves a deficit.
    function testInvalidation() public {
        retire(owner, batchId, 30);
        vm.prank(admin);
        credit.grantRole(REVERSER, admin);
        vm.expectRevert(abi.encodeWithSelector(ICreditRegistry.TextTooLong.selector, 1025, 1024));
        vm.prank(reverser);
        credit.proposeInvalidation(batchId, string(new bytes(1025)));
        vm.prank(admin);
        credit.proposeInvalidation(batchId, "");
        vm.expectRevert(
            abi.encodeWithSelector(ICreditOversight.InvalidationPending.selector, batchId, admin)
        );
        vm.prank(reverser);
        credit.proposeInvalidation(batchId, "");
        vm.warp(block.timestamp + 7 days);
        vm.expectRevert(abi.encodeWithSelector(ICreditOversight.TwoKeysNeeded.selector, admin));
        vm.prank(admin);
        credit.executeInvalidation(batchId);

        vm.prank(admin);
        credit.reinstate(batchId);
        vm.prank(reverser);
        credit.proposeInvalidation(batchId, "");
        uint256 time = block.timestamp + 7 days;
        vm.warp(time - 1);
        vm.expectRevert(
            abi.encodeWithSelector(ICreditOversight.InvalidationTooEarly.selector, batchId, time)
        );
        vm.prank(admin);
        credit.executeInvalidation(batchId);
        vm.warp(time);
        vm.prank(admin);
        credit.executeInvalidation(batchId);
        vm.assertEq(credit.deficitOf(batchId), 30, "deficit");
        vm.expectRevert(abi.encodeWithSelector(ICreditOversight.AlreadyCancelled.selector, batchId));
        vm.prank(reverser);
        credit.proposeInvalidation(batchId, "");
    }

    /// @notice CC-01, CC-10, CC-50, CC-52, CC-53, CC-55, CC-56, CC-58: each role is asked for, of the holders of all
    /// others.
    function testRoles() public {
        onlyFor(registrar, REGISTRAR, abi.encodeCall(credit.registerClass, ("code", 0, 1, 0)));
        onlyFor(registrar, REGISTRAR, abi.encodeCall(credit.setClassCap, (1, 1)));
        onlyFor(registrar, REGISTRAR, abi.encodeCall(credit.setClassBuffer, (1, 1)));
        onlyFor(registrar, REGISTRAR, abi.encodeCall(credit.registerProject, (1, owner, "code")));
        onlyFor(registrar, REGISTRAR, abi.encodeCall(credit.registerSite, (1, "code")));
        onlyFor(suspender, SUSPENDER, abi.encodeCall(credit.suspend, (batchId)));
        onlyFor(admin, 0, abi.encodeCall(credit.reinstate, (batchId)));
        onlyFor(pauser, PAUSER, abi.encodeCall(credit.pause, ()));
        onlyFor(admin, 0, abi.encodeCall(credit.unpause, ()));
        onlyFor(reverser, REVERSER, abi.encodeCall(credit.proposeInvalidation, (batchId, "")));
        onlyFor(admin, 0, abi.encodeCall(credit.executeInvalidation, (batchId)));
        onlyFor(reverser, REVERSER, abi.encodeCall(credit.replace, ("key", batchId, batchId, 1)));
        ICarbonCredit.Claim memory claim = goodClaim();
        bytes memory signature = signed(claim);
        onlyFor(issuer, issuerOf(1), abi.encodeCall(credit.issue, (claim, verifier, signature)));
    }

    function onlyFor(address holder, bytes32 role, bytes memory call) private {
        address[10] memory callers = [
            admin, registrar, issuer, verifier, owner, pauser, suspender, reverser, buyer, stranger
        ];
        for (uint256 i; i < callers.length; ++i) {
            if (callers[i] != holder) checkRefused(callers[i], role, address(credit), call);
        }
    }

    /// @notice CC-58: the buffer is retired for a deficit: by a reverser, within one class and
    /// within the deficit.
    function testReplace() public {
        retire(owner, batchId, 30);
        vm.prank(registrar);
        credit.setClassBuffer(1, 1000);
        uint256 otherId = issue(goodClaim());
        vm.prank(reverser);
        credit.proposeInvalidation(batchId, "");
        vm.warp(block.timestamp + 7 days);
        vm.prank(admin);
        credit.executeInvalidation(batchId);

        vm.expectRevert(refusedFor(stranger, REVERSER));
        vm.prank(stranger);
        credit.replace("key", otherId, batchId, 1);
        vm.startPrank(reverser);
        vm.expectRevert(abi.encodeWithSelector(ICarbonCredit.AboveDeficit.selector, 31, 30));
        credit.replace("key", otherId, batchId, 31);
        vm.expectRevert(abi.encodeWithSelector(ICarbonCredit.ClassDiffers.selector, 1, 2));
        credit.replace("key", otherId, uint256(2) << 32 | 1, 1);
        vm.assertEq(credit.replace("key", otherId, batchId, 20), 2, "the retirement's id");
        vm.assertEq(credit.deficitOf(batchId), 10, "deficit");
        vm.assertEq(credit.batchOf(otherId).retired, 20, "retired");
        credit.replace("key", otherId, batchId, 10);
        vm.stopPrank();
    }

    /// @notice CC-70, CC-71, CC-72: an overlap is of one meter, in two batches, that counts in both, and shown once.
    function testOverlap() public {
        ICreditOversight.ProvenReading[3] memory proven;
        for (uint32 i; i < 3; ++i) {
            ICarbonCredit.Claim memory claim = goodClaim();
            (claim.periodStart, claim.periodEnd) =
            (START + (2 + i) * MONTH, START + (3 + i) * MONTH);
            proven[i].reading = readingOf(claim, "meter");
            // One second into the period of the next batch.
            proven[i].reading.end += 1;
            if (i == 2) proven[i].reading.quality = 200;
            bytes32 leaf = leafOf(proven[i].reading);
            bytes32 sibling = keccak256(abi.encode(i));
            proven[i].proof = new bytes32[](1);
            proven[i].proof[0] = sibling;
            proven[i].evidenceRoot = claim.evidenceRoot = leaf < sibling
                ? keccak256(bytes.concat(leaf, sibling))
                : keccak256(bytes.concat(sibling, leaf));
            issue(claim);
        }
        uint256 first = batchId + 1;
        vm.expectRevert(abi.encodeWithSelector(ICreditOversight.SameBatch.selector, first));
        credit.proveOverlap(proven[0], proven[0]);
        vm.expectRevert(abi.encodeWithSelector(ICreditOversight.ReadingNotCounted.selector, 200));
        credit.proveOverlap(proven[1], proven[2]);
        bytes32 root = proven[1].evidenceRoot;
        proven[1].reading.end += 1;
        vm.expectRevert(abi.encodeWithSelector(ICreditOversight.BadReadingProof.selector, root));
        credit.proveOverlap(proven[0], proven[1]);
        vm.assertEq(credit.verifyReading(proven[1]), 0, "altered");
        proven[1].reading.end -= 1;
        vm.assertEq(credit.verifyReading(proven[1]), first + 1, "in the batch");
        proven[1].evidenceRoot = "another";
        vm.expectRevert(
            abi.encodeWithSelector(
                ICreditOversight.UnknownEvidenceRoot.selector, bytes32("another")
            )
        );
        credit.proveOverlap(proven[0], proven[1]);
        proven[1].evidenceRoot = root;
        credit.proveOverlap(proven[1], proven[0]);
        vm.assertTrue(credit.isOverlapProven(first, first + 1), "either order");
        vm.expectRevert(
            abi.encodeWithSelector(ICreditOversight.OverlapAlreadyProven.selector, first, first + 1)
        );
        credit.proveOverlap(proven[0], proven[1]);
    }

    // ------------------------------------------------------------------ shared

    function refusesRetirement(bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(owner);
        credit.retire("key", batchId, 1, why);
    }

    function refusesBatch(uint256[] memory ids, uint64[] memory amounts) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                ICarbonCredit.BadListLength.selector, ids.length, amounts.length, 100
            )
        );
        vm.prank(owner);
        credit.retireBatch("key", ids, amounts, why);
    }
}
