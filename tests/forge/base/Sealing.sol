// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Vm} from "./Test.sol";

/// @title The head of the sealed log, recomputed from raw logs
/// @dev Knows of each event only where offsets stand among the words of its data. What is hashed
/// is `abi.encode(topic0, indexed arguments, the others without seq and head)`; the offsets in it
/// differ from those in the data by what stands before and by the two words that are left out.
library Sealing {
    error SeqOutOfStep(uint64 seq, uint64 expected);
    error HeadDiffers(uint64 seq, bytes32 head, bytes32 expected);

    struct Log {
        uint64 seq;
        bytes32 head;
        /// @dev By topic: how many words the static part of the data has; zero means unknown.
        mapping(bytes32 topic => uint256) words;
        /// @dev By topic: a bit for each word that is an offset.
        mapping(bytes32 topic => uint256) offsets;
    }

    /// @dev Adds one log; says whether it is a ledger event.
    function add(Log storage self, Vm.Log memory log) internal returns (bool) {
        bytes32 topic = log.topics[0];
        uint256 words = self.words[topic];
        if (words == 0) return false;

        bytes memory record = log.data;
        uint64 seq = uint64(uint256(_word(record, words - 2)));
        bytes32 head = _word(record, words - 1);
        record = _record(log.topics, record, words, self.offsets[topic]);

        if (seq != self.seq + 1) revert SeqOutOfStep(seq, self.seq + 1);
        self.seq = seq;
        self.head = keccak256(abi.encode(self.head, seq, keccak256(record)));
        if (head != self.head) revert HeadDiffers(seq, head, self.head);
        return true;
    }

    function _record(bytes32[] memory topics, bytes memory data, uint256 words, uint256 offsets)
        private
        pure
        returns (bytes memory record)
    {
        for (uint256 i; i < topics.length; ++i) {
            record = bytes.concat(record, topics[i]);
        }
        for (uint256 i; i < words - 2; ++i) {
            uint256 word = uint256(_word(data, i));
            if (offsets >> i & 1 == 1) word = word + 32 * topics.length - 64;
            record = bytes.concat(record, bytes32(word));
        }
        for (uint256 i = words; i < data.length / 32; ++i) {
            record = bytes.concat(record, _word(data, i));
        }
    }

    function _word(bytes memory data, uint256 index) private pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := mload(add(add(data, 0x20), mul(index, 0x20)))
        }
    }
}
