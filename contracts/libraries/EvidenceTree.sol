// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {ICreditOversight} from "../interfaces/ICreditOversight.sol";

/// @title The Merkle tree over the readings of a batch
/// @dev Typed leaves, ABI-encoded and hashed twice, so that no inner node passes as a reading;
/// sorted pairs, as OpenZeppelin's `StandardMerkleTree` makes them.
library EvidenceTree {
    /// @notice Whether a proof leads from a reading to its root.
    function holds(ICreditOversight.ProvenReading calldata proven) internal pure returns (bool) {
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(proven.reading))));
        return MerkleProof.verifyCalldata(proven.proof, proven.evidenceRoot, leaf);
    }

    /// @notice Whether a reading went into the sum of its batch.
    function counts(ICreditOversight.Reading calldata reading) internal pure returns (bool) {
        return reading.quality / 100 == 1;
    }

    /// @notice Whether two intervals share time. One without a length shares none.
    function overlap(
        ICreditOversight.Reading calldata first,
        ICreditOversight.Reading calldata second
    ) internal pure returns (bool) {
        uint64 start = first.start > second.start ? first.start : second.start;
        uint64 end = first.end < second.end ? first.end : second.end;
        return start < end;
    }
}
