// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {CreditPark} from "../base/CreditPark.sol";

/// @title `issue`: what is refused, then what is done
contract IssueTest is CreditPark {
    function setUp() public {
        buildPark();
    }

    /// @notice CC-13, CC-14: a key and an evidence root are issued upon once.
    function testKeyAndRootAreTakenForEver() public {
        ICarbonCredit.Claim memory first = goodClaim();
        uint256 batchId = issue(first);
        cancel(owner, batchId, AMOUNT);

        ICarbonCredit.Claim memory claim = goodClaim();
        claim.key = first.key;
        issueRefused(claim, abi.encodeWithSelector(ICarbonCredit.KeyUsed.selector, first.key));

        claim = goodClaim();
        claim.evidenceRoot = first.evidenceRoot;
        issueRefused(
            claim,
            abi.encodeWithSelector(ICarbonCredit.EvidenceRootUsed.selector, first.evidenceRoot)
        );
    }
}
