// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";

import {ICreditOversight} from "../interfaces/ICreditOversight.sol";
import {BatchWord} from "./BatchWord.sol";
import {Book} from "./CreditBook.sol";

/// @title ERC-1155 metadata of a batch, from what the ledger stores
/// @dev A linked library: its code runs in the ledger, at an address that is part of the ledger's
/// code.
library BatchMetadata {
    using Strings for uint256;

    /// @notice JSON of the ERC-1155 metadata schema, as a data URI.
    function uri(Book storage book, uint256 batchId) external view returns (string memory) {
        BatchWord batch = book.batches[batchId];
        string memory json = string.concat(
            '{"name":"Carbon credit batch ',
            (batchId >> 32).toString(),
            "-",
            uint256(uint32(batchId)).toString(),
            '","description":"Verified emission reductions of one site and one monitoring period.",',
            '"decimals":3,"properties":{"unit":"kg CO2e","status":"',
            _nameOf(batch.status()),
            '"',
            _numbers(batch),
            "}}"
        );
        return string.concat("data:application/json;base64,", Base64.encode(bytes(json)));
    }

    function _numbers(BatchWord batch) private pure returns (string memory) {
        return string.concat(
            _number("issued", batch.issued()),
            _number("retired", batch.retired()),
            _number("cancelled", batch.cancelled()),
            _number("period_start", batch.periodStart()),
            _number("period_end", batch.periodEnd()),
            _number("expires_at", batch.expiresAt())
        );
    }

    function _number(string memory key, uint256 value) private pure returns (string memory) {
        return string.concat(',"', key, '":', value.toString());
    }

    function _nameOf(ICreditOversight.Status status) private pure returns (string memory) {
        if (status == ICreditOversight.Status.Active) return "active";
        if (status == ICreditOversight.Status.Suspended) return "suspended";
        if (status == ICreditOversight.Status.Disputed) return "disputed";
        if (status == ICreditOversight.Status.Cancelled) return "cancelled";
        if (status == ICreditOversight.Status.Expired) return "expired";
        return "unknown";
    }
}
