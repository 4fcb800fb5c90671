// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What a settlement asks the credits' contract
interface ICreditStatus {
    function isTransferable(uint256 batchId) external view returns (bool);
}
