// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";

import {ICreditRegistry} from "./interfaces/ICreditRegistry.sol";
import {Book} from "./libraries/CreditBook.sol";
import {Register} from "./libraries/Register.sol";

/// @title The register that credits are issued against: classes, projects, sites; and the book
/// @dev Assumed: the registrar enters each class, project and site once and correctly; none can be
/// renamed or moved.
///
/// Promised: ids count from 1 without a gap, a code names one thing of its kind for ever, and every
/// entry is an event of the sealed log. What an entry does stands in `libraries/Register.sol`; who
/// may make it stands here.
abstract contract CreditRegistry is ICreditRegistry, AccessControlDefaultAdminRules {
    // -------------------------------------------------------------- constants

    bytes32 public constant REGISTRAR_ROLE = keccak256("REGISTRAR_ROLE");

    // ---------------------------------------------------------------- storage

    Book internal _book;

    // --------------------------------------------------------------- registry

    /// @inheritdoc ICreditRegistry
    function registerClass(
        string calldata code,
        bytes32 methodologyHash,
        uint64 cap,
        uint16 bufferBps
    ) external onlyRole(REGISTRAR_ROLE) returns (uint32 classId) {
        return Register.registerClass(_book, code, methodologyHash, cap, bufferBps);
    }

    /// @inheritdoc ICreditRegistry
    function setClassCap(uint32 classId, uint64 cap) external onlyRole(REGISTRAR_ROLE) {
        Register.setClassCap(_book, classId, cap);
    }

    /// @inheritdoc ICreditRegistry
    function setClassBuffer(uint32 classId, uint16 bufferBps) external onlyRole(REGISTRAR_ROLE) {
        Register.setClassBuffer(_book, classId, bufferBps);
    }

    /// @inheritdoc ICreditRegistry
    function registerProject(uint32 classId, address owner, string calldata code)
        external
        onlyRole(REGISTRAR_ROLE)
        returns (uint32 projectId)
    {
        return Register.registerProject(_book, classId, owner, code);
    }

    /// @inheritdoc ICreditRegistry
    function registerSite(uint32 projectId, string calldata code)
        external
        onlyRole(REGISTRAR_ROLE)
        returns (uint32 siteId)
    {
        return Register.registerSite(_book, projectId, code);
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc ICreditRegistry
    function classOf(uint32 classId) external view returns (Class memory) {
        return _book.classes[classId];
    }

    /// @inheritdoc ICreditRegistry
    function projectOf(uint32 projectId) external view returns (Project memory) {
        return _book.projects[projectId];
    }

    /// @inheritdoc ICreditRegistry
    function siteOf(uint32 siteId) external view returns (Site memory) {
        return _book.sites[siteId];
    }

    /// @inheritdoc ICreditRegistry
    function classOfCode(string calldata code) external view returns (uint32 classId) {
        return _book.classOfCode[keccak256(bytes(code))];
    }

    /// @inheritdoc ICreditRegistry
    function projectOfCode(string calldata code) external view returns (uint32 projectId) {
        return _book.projectOfCode[keccak256(bytes(code))];
    }

    /// @inheritdoc ICreditRegistry
    function siteOfCode(string calldata code) external view returns (uint32 siteId) {
        return _book.siteOfCode[keccak256(bytes(code))];
    }

    /// @inheritdoc ICreditRegistry
    function logHead() external view returns (uint64 seq, bytes32 head) {
        return (_book.counters.seq, _book.head);
    }
}
