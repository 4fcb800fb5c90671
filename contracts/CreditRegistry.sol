// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";

import {ICarbonCredit} from "./interfaces/ICarbonCredit.sol";
import {LogHead} from "./libraries/LogHead.sol";

/// @title The register that credits are issued against: classes, projects, sites, and the sealed
/// log of all events
/// @dev Assumed: the registrar enters each class, project and site once and correctly; none can be
/// renamed or moved.
///
/// Promised: ids count from 1 without a gap, a code names one thing of its kind for ever, and every
/// entry is an event of the sealed log.
abstract contract CreditRegistry is ICarbonCredit, AccessControlDefaultAdminRules {
    /// @dev Shares one slot with the bookkeeping of every ledger event, so that the pause is read
    /// for free there.
    struct Counters {
        uint64 seq;
        uint64 retirements;
        uint32 classes;
        uint32 projects;
        uint32 sites;
        uint32 pausedAt;
    }

    enum Kind {
        Class,
        Project,
        Site
    }

    // -------------------------------------------------------------- constants

    bytes32 public constant REGISTRAR_ROLE = keccak256("REGISTRAR_ROLE");

    /// @notice The longest code of a class, project or site, in bytes.
    uint256 public constant MAX_CODE = 50;

    // ---------------------------------------------------------------- storage

    bytes32 private _head;
    Counters internal _counters;

    mapping(uint32 classId => Class) internal _classes;
    mapping(uint32 projectId => Project) internal _projects;
    mapping(uint32 siteId => Site) internal _sites;
    mapping(Kind kind => mapping(bytes32 codeHash => uint32 id)) private _idOfCode;

    // --------------------------------------------------------------- registry

    /// @inheritdoc ICarbonCredit
    function registerClass(string calldata code, bytes32 methodologyHash, uint64 cap)
        external
        onlyRole(REGISTRAR_ROLE)
        returns (uint32 classId)
    {
        classId = ++_counters.classes;
        _takeCode(Kind.Class, code, classId);
        _classes[classId].cap = cap;

        (uint64 seq, bytes32 head) = _seal(
            keccak256(abi.encode(ClassRegistered.selector, classId, code, methodologyHash, cap))
        );
        emit ClassRegistered(classId, code, methodologyHash, cap, seq, head);
    }

    /// @inheritdoc ICarbonCredit
    function setClassCap(uint32 classId, uint64 cap) external onlyRole(REGISTRAR_ROLE) {
        _requireClass(classId);

        uint64 oldCap = _classes[classId].cap;
        _classes[classId].cap = cap;

        (uint64 seq, bytes32 head) =
            _seal(keccak256(abi.encode(ClassCapChanged.selector, classId, oldCap, cap)));
        emit ClassCapChanged(classId, oldCap, cap, seq, head);
    }

    /// @inheritdoc ICarbonCredit
    function registerProject(uint32 classId, address owner, string calldata code)
        external
        onlyRole(REGISTRAR_ROLE)
        returns (uint32 projectId)
    {
        _requireClass(classId);
        if (owner == address(0)) revert ZeroOwner();

        projectId = ++_counters.projects;
        _takeCode(Kind.Project, code, projectId);
        _projects[projectId] = Project({owner: owner, classId: classId});

        (uint64 seq, bytes32 head) = _seal(
            keccak256(abi.encode(ProjectRegistered.selector, projectId, classId, owner, code))
        );
        emit ProjectRegistered(projectId, classId, owner, code, seq, head);
    }

    /// @inheritdoc ICarbonCredit
    function registerSite(uint32 projectId, string calldata code)
        external
        onlyRole(REGISTRAR_ROLE)
        returns (uint32 siteId)
    {
        if (_projects[projectId].classId == 0) {
            revert UnknownProject(projectId);
        }

        siteId = ++_counters.sites;
        _takeCode(Kind.Site, code, siteId);
        _sites[siteId].projectId = projectId;

        (uint64 seq, bytes32 head) =
            _seal(keccak256(abi.encode(SiteRegistered.selector, siteId, projectId, code)));
        emit SiteRegistered(siteId, projectId, code, seq, head);
    }

    // ------------------------------------------------------- the seal, checks

    /// @dev Adds a record to the sealed log.
    function _seal(bytes32 record) internal returns (uint64 seq, bytes32 head) {
        seq = ++_counters.seq;
        head = LogHead.next(_head, seq, record);
        _head = head;
    }

    function _requireClass(uint32 classId) private view {
        if (classId == 0 || classId > _counters.classes) revert UnknownClass(classId);
    }

    function _requireShort(string calldata text, uint256 limit) internal pure {
        if (bytes(text).length > limit) revert TextTooLong(bytes(text).length, limit);
    }

    /// @dev Gives a code to an id, for ever.
    function _takeCode(Kind kind, string calldata code, uint32 id) private {
        if (bytes(code).length == 0) revert EmptyCode();
        _requireShort(code, MAX_CODE);
        bytes32 codeHash = keccak256(bytes(code));
        if (_idOfCode[kind][codeHash] != 0) revert CodeTaken(code);
        _idOfCode[kind][codeHash] = id;
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc ICarbonCredit
    function mintedUntil(uint32 siteId) external view returns (uint32) {
        return _sites[siteId].mintedUntil;
    }

    /// @inheritdoc ICarbonCredit
    function classOf(uint32 classId) external view returns (Class memory) {
        return _classes[classId];
    }

    /// @inheritdoc ICarbonCredit
    function projectOf(uint32 projectId) external view returns (Project memory) {
        return _projects[projectId];
    }

    /// @inheritdoc ICarbonCredit
    function siteOf(uint32 siteId) external view returns (Site memory) {
        return _sites[siteId];
    }

    /// @inheritdoc ICarbonCredit
    function classOfCode(string calldata code) external view returns (uint32 classId) {
        return _idOfCode[Kind.Class][keccak256(bytes(code))];
    }

    /// @inheritdoc ICarbonCredit
    function projectOfCode(string calldata code) external view returns (uint32 projectId) {
        return _idOfCode[Kind.Project][keccak256(bytes(code))];
    }

    /// @inheritdoc ICarbonCredit
    function siteOfCode(string calldata code) external view returns (uint32 siteId) {
        return _idOfCode[Kind.Site][keccak256(bytes(code))];
    }

    /// @inheritdoc ICarbonCredit
    function logHead() external view returns (uint64 seq, bytes32 head) {
        return (_counters.seq, _head);
    }
}
