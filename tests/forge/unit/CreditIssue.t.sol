// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {ICreditOversight} from "../../../contracts/interfaces/ICreditOversight.sol";
import {ICreditRegistry} from "../../../contracts/interfaces/ICreditRegistry.sol";
import {CreditPark} from "../base/CreditPark.sol";

/// @title `issue`: what is refused, and with which words; then what is done
contract CreditIssueTest is CreditPark {
    ICarbonCredit.Claim private claim;

    function setUp() public {
        buildPark();
        claim = goodClaim();
    }

    /// @notice CC-13, CC-14: a key and an evidence root are issued upon once, also after all of the
    /// batch is cancelled.
    function testKeyAndRootAreTakenForEver() public {
        ICarbonCredit.Claim memory first = claim;
        cancel(owner, issue(first), AMOUNT);

        claim = goodClaim();
        claim.key = first.key;
        refuses(abi.encodeWithSelector(ICarbonCredit.KeyUsed.selector, first.key));

        claim = goodClaim();
        claim.evidenceRoot = first.evidenceRoot;
        refuses(abi.encodeWithSelector(ICarbonCredit.EvidenceRootUsed.selector, first.evidenceRoot));
    }

    /// @notice CC-13, CC-14: neither may be zero.
    function testKeyAndRootAreGiven() public {
        claim.key = 0;
        refuses(abi.encodeWithSelector(ICarbonCredit.EmptyKey.selector));
        claim.key = "key";
        claim.evidenceRoot = 0;
        refuses(abi.encodeWithSelector(ICarbonCredit.EmptyEvidenceRoot.selector));
    }

    /// @notice CC-16: an amount is at least one, fits its field, and is within the evidence.
    function testAmountHasBounds() public {
        claim.amount = 0;
        refuses(abi.encodeWithSelector(ICarbonCredit.ZeroAmount.selector));
        claim.amount = 1 << 40;
        refuses(abi.encodeWithSelector(ICarbonCredit.AmountTooLarge.selector, 1 << 40));
        claim.amount = claim.evidenceTotal + 1;
        refuses(
            abi.encodeWithSelector(
                ICarbonCredit.AmountAboveEvidence.selector, claim.amount, claim.evidenceTotal
            )
        );
        claim.amount = claim.evidenceTotal;
        issue(claim);
    }

    /// @notice CC-16, CC-20: the largest amount there is.
    function testLargestAmount() public {
        vm.prank(registrar);
        credit.setClassCap(1, type(uint64).max);
        claim.amount = claim.evidenceTotal = (1 << 40) - 1;
        uint256 batchId = issue(claim);
        vm.assertEq(credit.balanceOf(owner, batchId), (1 << 40) - 1, "held");
        retire(owner, batchId, (1 << 40) - 1);
        ICarbonCredit.Batch memory batch = credit.batchOf(batchId);
        vm.assertEq(batch.retired, (1 << 40) - 1, "retired");
        vm.assertEq(batch.cancelled, 0, "cancelled");
        vm.assertEq(batch.periodStart, claim.periodStart, "start");
    }

    /// @notice CC-15: a period has a length and is over; the last second of it may be now.
    function testPeriodHasBounds() public {
        claim.periodEnd = claim.periodStart;
        refuses(_badPeriod());
        claim.periodStart = uint32(block.timestamp - 1);
        claim.periodEnd = uint32(block.timestamp + 1);
        refuses(_badPeriod());
        claim.periodEnd = uint32(block.timestamp);
        issue(claim);
    }

    /// @notice CC-15: a period begins where the last one ended, at the earliest.
    function testPeriodsFollow() public {
        issue(claim);
        uint32 until = claim.periodEnd;
        claim = goodClaim();
        claim.periodStart = until - 1;
        refuses(
            abi.encodeWithSelector(ICarbonCredit.PeriodAlreadyIssued.selector, 1, until - 1, until)
        );
        claim.periodStart = until;
        uint256 batchId = issue(claim);
        vm.assertEq(batchId, uint256(1) << 32 | 2, "the second batch of the site");
        vm.assertEq(credit.batchOf(batchId).gapStart, until, "no gap");
    }

    /// @notice CC-22: a backfill names the batch after it, and stays in the gap before that.
    function testBackfill() public {
        claim.periodStart = START + MONTH;
        claim.periodEnd = START + 2 * MONTH;
        uint256 nextId = issue(claim);
        claim = goodClaim();
        (claim.periodStart, claim.periodEnd) = (START + 10, START + MONTH + 1);
        claim.backfillBefore = 2;
        refuses(abi.encodeWithSelector(ICreditOversight.UnknownBatch.selector, nextId + 1));
        claim.backfillBefore = 1;
        refuses(
            abi.encodeWithSelector(
                ICarbonCredit.PeriodNotFree.selector, 1, START + 10, 0, START + MONTH
            )
        );
        claim.periodEnd = START + MONTH;
        issue(claim);
        vm.assertEq(credit.batchOf(nextId).gapStart, START + MONTH, "the gap is filled");
        vm.assertEq(credit.siteOf(1).mintedUntil, START + 2 * MONTH, "the site's end stays");

        claim = goodClaim();
        (claim.periodStart, claim.periodEnd) = (START + MONTH - 1, START + MONTH);
        claim.backfillBefore = 1;
        refuses(
            abi.encodeWithSelector(
                ICarbonCredit.PeriodNotFree.selector,
                1,
                START + MONTH - 1,
                START + MONTH,
                START + MONTH
            )
        );
    }

    /// @notice CC-18: a signature is good to the last second of its deadline.
    function testDeadline() public {
        claim.deadline = uint64(block.timestamp - 1);
        refuses(abi.encodeWithSelector(ICarbonCredit.ClaimExpired.selector, claim.deadline));
        claim.deadline = uint64(block.timestamp);
        issue(claim);
    }

    /// @notice CC-23, CC-33, CC-34: an expiry is to come, and ends all movement in its second.
    function testExpiry() public {
        claim.expiresAt = uint32(block.timestamp);
        refuses(abi.encodeWithSelector(ICarbonCredit.BadExpiry.selector, claim.expiresAt));
        claim.expiresAt += 1;
        uint256 batchId = issue(claim);
        vm.assertTrue(credit.isTransferable(batchId), "it moves");
        vm.expectRevert(
            abi.encodeWithSelector(ICreditOversight.NotExpired.selector, batchId, claim.expiresAt)
        );
        credit.expire(batchId);
        vm.warp(claim.expiresAt);
        vm.assertTrue(!credit.isTransferable(batchId), "it moves no more");
        vm.expectRevert(
            abi.encodeWithSelector(ICreditOversight.BatchExpired.selector, batchId, claim.expiresAt)
        );
        vm.prank(owner);
        credit.safeTransferFrom(owner, buyer, batchId, 1, "");
    }

    /// @notice CC-10, CC-11: issuer and verifier hold the roles of the class, and not of another one.
    function testRoles() public {
        bytes memory signature = signed(claim);
        vm.startPrank(admin);
        credit.grantRole(issuerOf(0), stranger);
        credit.grantRole(issuerOf(2), stranger);
        credit.grantRole(verifierOf(1), stranger);
        credit.grantRole(verifierOf(2), buyer);
        credit.grantRole(issuerOf(1), buyer);
        vm.stopPrank();
        vm.expectRevert(refusedFor(stranger, issuerOf(1)));
        vm.prank(stranger);
        credit.issue(claim, verifier, signature);

        vm.expectRevert(
            abi.encodeWithSelector(ICarbonCredit.NotAVerifier.selector, buyer, uint32(1))
        );
        vm.prank(issuer);
        credit.issue(claim, buyer, signature);
    }

    /// @notice CC-11: another's signature, or one of another claim, is none.
    function testSignature() public {
        bytes memory wrong =
            abi.encodeWithSelector(ICarbonCredit.BadVerifierSignature.selector, verifier);
        bytes memory signature = signedBy(uint256(keccak256("stranger")), digestOf(claim));
        vm.expectRevert(wrong);
        vm.prank(issuer);
        credit.issue(claim, verifier, signature);

        signature = signed(claim);
        claim.recipient = buyer;
        vm.expectRevert(wrong);
        vm.prank(issuer);
        credit.issue(claim, verifier, signature);
    }

    /// @notice CC-11: a verifier may be a contract that answers for it (ERC-1271).
    function testContractVerifies() public {
        address wallet = vm.deployCode("Holders.sol:SmartWallet", abi.encode(verifier));
        vm.prank(admin);
        credit.grantRole(verifierOf(1), wallet);
        bytes memory signature = signed(claim);
        vm.prank(issuer);
        credit.issue(claim, wallet, signature);
    }

    /// @notice CC-12: issuer, verifier and owner are three.
    function testThreeParties() public {
        vm.startPrank(admin);
        credit.grantRole(issuerOf(1), verifier);
        credit.grantRole(issuerOf(1), owner);
        credit.grantRole(verifierOf(1), owner);
        vm.stopPrank();
        bytes memory signature = signed(claim);
        vm.expectRevert(abi.encodeWithSelector(ICarbonCredit.SamePartyTwice.selector, verifier));
        vm.prank(verifier);
        credit.issue(claim, verifier, signature);
        vm.expectRevert(abi.encodeWithSelector(ICarbonCredit.SamePartyTwice.selector, owner));
        vm.prank(owner);
        credit.issue(claim, verifier, signature);
        vm.expectRevert(abi.encodeWithSelector(ICarbonCredit.SamePartyTwice.selector, owner));
        vm.prank(issuer);
        credit.issue(claim, owner, signature);
    }

    /// @notice CC-19: site, project and class belong together.
    function testPlacesBelongTogether() public {
        claim.siteId = 9;
        refuses(abi.encodeWithSelector(ICreditRegistry.UnknownSite.selector, 9));
        claim.siteId = 2;
        refuses(abi.encodeWithSelector(ICarbonCredit.ClaimMismatch.selector, 1, 1, 2));
        claim.projectId = 2;
        refuses(abi.encodeWithSelector(ICarbonCredit.ClaimMismatch.selector, 1, 2, 2));
    }

    /// @notice CC-17: a class is issued up to its cap, and a cap of zero is nothing.
    function testCap() public {
        vm.prank(registrar);
        credit.setClassCap(1, AMOUNT - 1);
        refuses(abi.encodeWithSelector(ICarbonCredit.CapExceeded.selector, 1, AMOUNT - 1, AMOUNT));
        vm.prank(registrar);
        credit.setClassCap(1, AMOUNT);
        issue(claim);
        vm.assertEq(credit.classOf(1).issued, AMOUNT, "issued");
    }

    /// @notice CC-21: the buffer's share, rounded down, is the contract's; the rest the recipient's.
    function testBuffer() public {
        vm.prank(registrar);
        credit.setClassBuffer(1, 333);
        uint256 batchId = issue(claim);
        // 123,851 * 3.33 % = 4,124.2383
        vm.assertEq(credit.balanceOf(address(credit), batchId), 4124, "buffer");
        vm.assertEq(credit.balanceOf(owner, batchId), 119_727, "recipient");
        vm.assertEq(credit.totalSupply(batchId), AMOUNT, "supply");
    }

    /// @notice CC-20: a recipient that is a contract is asked.
    function testRecipientAccepts() public {
        claim.recipient = vm.deployCode("Holders.sol:RefusingHolder", "");
        bytes memory signature = signed(claim);
        vm.expectRevert();
        vm.prank(issuer);
        credit.issue(claim, verifier, signature);
        claim.recipient = vm.deployCode("Holders.sol:RetiringHolder", "");
        uint256 batchId = issue(claim);
        vm.assertEq(credit.batchOf(batchId).retired, AMOUNT, "retired in the moment of receipt");
    }

    function refuses(bytes memory reason) private {
        issueRefused(claim, reason);
    }

    function _badPeriod() private view returns (bytes memory) {
        return abi.encodeWithSelector(
            ICarbonCredit.BadPeriod.selector, claim.periodStart, claim.periodEnd
        );
    }
}
