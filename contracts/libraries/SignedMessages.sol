// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICarbonCredit} from "../interfaces/ICarbonCredit.sol";

/// @title What verifiers and holders sign: EIP-712 struct hashes of the credit ledger
/// @dev A linked library in what holders sign: that code runs in the ledger, at an address that is
/// part of the ledger's code.
library SignedMessages {
    bytes32 internal constant CLAIM_TYPEHASH = keccak256(
        "Claim(bytes32 key,uint32 classId,uint32 projectId,uint32 siteId,uint64 amount,"
        "uint32 periodStart,uint32 periodEnd,uint32 expiresAt,uint32 backfillBefore,"
        "bytes32 evidenceRoot,uint64 evidenceTotal,bytes32 manifestHash,bytes32 methodologyHash,"
        "address recipient,uint64 deadline)"
    );

    bytes32 internal constant DETAILS_TYPEHASH = keccak256(
        "Retirement(string beneficiary,string reason,bytes2 country,uint32 consumptionStart,"
        "uint32 consumptionEnd,bytes32 documentHash)"
    );

    bytes32 internal constant ORDER_TYPEHASH = keccak256(
        "RetirementOrder(address holder,bytes32 key,uint256 batchId,uint64 amount,Retirement details,"
        "uint256 nonce,uint64 deadline)"
        "Retirement(string beneficiary,string reason,bytes2 country,uint32 consumptionStart,"
        "uint32 consumptionEnd,bytes32 documentHash)"
    );

    bytes32 internal constant APPROVAL_TYPEHASH = keccak256(
        "ApprovalForAll(address owner,address operator,bool approved,uint256 nonce,uint64 deadline)"
    );

    /// @notice Hash of a claim.
    function hashClaim(ICarbonCredit.Claim memory claim) internal pure returns (bytes32) {
        return keccak256(abi.encode(CLAIM_TYPEHASH, claim));
    }

    /// @notice Hash of an order to retire.
    function hashOrder(ICarbonCredit.RetirementOrder memory order) external pure returns (bytes32) {
        return keccak256(
            abi.encode(
                ORDER_TYPEHASH,
                order.holder,
                order.key,
                order.batchId,
                order.amount,
                _hashDetails(order.details),
                order.nonce,
                order.deadline
            )
        );
    }

    /// @notice Hash of the details of a retirement, a part of an order's.
    function _hashDetails(ICarbonCredit.Retirement memory details) private pure returns (bytes32) {
        return keccak256(
            abi.encode(
                DETAILS_TYPEHASH,
                keccak256(bytes(details.beneficiary)),
                keccak256(bytes(details.reason)),
                details.country,
                details.consumptionStart,
                details.consumptionEnd,
                details.documentHash
            )
        );
    }

    /// @notice Hash of an owner's approval of an operator.
    function hashApproval(
        address owner,
        address operator,
        bool approved,
        uint256 nonce,
        uint64 deadline
    ) external pure returns (bytes32) {
        return keccak256(abi.encode(APPROVAL_TYPEHASH, owner, operator, approved, nonce, deadline));
    }
}
