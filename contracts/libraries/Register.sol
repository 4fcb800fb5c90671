// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICreditRegistry} from "../interfaces/ICreditRegistry.sol";
import {Book, CreditBook} from "./CreditBook.sol";

/// @title Entries of classes, projects and sites into the credit ledger's book
/// @dev A linked library: its code runs in the ledger, at an address that is part of the ledger's
/// code. Authority is the ledger's affair and is checked there.
library Register {
    using CreditBook for Book;

    /// @notice The longest code of a class, project or site, in bytes.
    uint256 internal constant MAX_CODE = 50;

    /// @notice The largest buffer share: half of what is issued.
    uint16 internal constant MAX_BUFFER_BPS = 5000;

    function registerClass(
        Book storage book,
        string calldata code,
        bytes32 methodologyHash,
        uint64 cap,
        uint16 bufferBps
    ) external returns (uint32 classId) {
        _checkBuffer(bufferBps);
        classId = ++book.counters.classes;
        _takeCode(book.classOfCode, code, classId);
        book.classes[classId].cap = cap;
        book.classes[classId].bufferBps = bufferBps;

        (uint64 seq, bytes32 head) = book.seal(
            keccak256(
                abi.encode(
                    ICreditRegistry.ClassRegistered.selector,
                    classId,
                    code,
                    methodologyHash,
                    cap,
                    bufferBps
                )
            )
        );
        emit ICreditRegistry.ClassRegistered(
            classId, code, methodologyHash, cap, bufferBps, seq, head
        );
    }

    function setClassCap(Book storage book, uint32 classId, uint64 cap) external {
        _requireClass(book, classId);

        uint64 oldCap = book.classes[classId].cap;
        book.classes[classId].cap = cap;

        (uint64 seq, bytes32 head) = book.seal(
            keccak256(abi.encode(ICreditRegistry.ClassCapChanged.selector, classId, oldCap, cap))
        );
        emit ICreditRegistry.ClassCapChanged(classId, oldCap, cap, seq, head);
    }

    function setClassBuffer(Book storage book, uint32 classId, uint16 bufferBps) external {
        _requireClass(book, classId);
        _checkBuffer(bufferBps);

        uint16 oldBps = book.classes[classId].bufferBps;
        book.classes[classId].bufferBps = bufferBps;

        (uint64 seq, bytes32 head) = book.seal(
            keccak256(
                abi.encode(ICreditRegistry.ClassBufferChanged.selector, classId, oldBps, bufferBps)
            )
        );
        emit ICreditRegistry.ClassBufferChanged(classId, oldBps, bufferBps, seq, head);
    }

    function registerProject(Book storage book, uint32 classId, address owner, string calldata code)
        external
        returns (uint32 projectId)
    {
        _requireClass(book, classId);
        if (owner == address(0)) revert ICreditRegistry.ZeroOwner();

        projectId = ++book.counters.projects;
        _takeCode(book.projectOfCode, code, projectId);
        book.projects[projectId] = ICreditRegistry.Project({owner: owner, classId: classId});

        (uint64 seq, bytes32 head) = book.seal(
            keccak256(
                abi.encode(
                    ICreditRegistry.ProjectRegistered.selector, projectId, classId, owner, code
                )
            )
        );
        emit ICreditRegistry.ProjectRegistered(projectId, classId, owner, code, seq, head);
    }

    function registerSite(Book storage book, uint32 projectId, string calldata code)
        external
        returns (uint32 siteId)
    {
        if (book.projects[projectId].classId == 0) {
            revert ICreditRegistry.UnknownProject(projectId);
        }

        siteId = ++book.counters.sites;
        _takeCode(book.siteOfCode, code, siteId);
        book.sites[siteId].projectId = projectId;

        (uint64 seq, bytes32 head) = book.seal(
            keccak256(abi.encode(ICreditRegistry.SiteRegistered.selector, siteId, projectId, code))
        );
        emit ICreditRegistry.SiteRegistered(siteId, projectId, code, seq, head);
    }

    function _requireClass(Book storage book, uint32 classId) private view {
        if (classId == 0 || classId > book.counters.classes) {
            revert ICreditRegistry.UnknownClass(classId);
        }
    }

    function _checkBuffer(uint16 bufferBps) private pure {
        if (bufferBps > MAX_BUFFER_BPS) {
            revert ICreditRegistry.BufferTooLarge(bufferBps, MAX_BUFFER_BPS);
        }
    }

    /// @dev Gives a code to an id, for ever.
    function _takeCode(
        mapping(bytes32 codeHash => uint32 id) storage ids,
        string calldata code,
        uint32 id
    ) private {
        if (bytes(code).length == 0) revert ICreditRegistry.EmptyCode();
        CreditBook.requireShort(code, MAX_CODE);
        bytes32 codeHash = keccak256(bytes(code));
        if (ids[codeHash] != 0) revert ICreditRegistry.CodeTaken(code);
        ids[codeHash] = id;
    }
}
