// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The register that carbon credits are issued against: classes, projects and sites
/// @notice Ids count from 1 without a gap. A code names one thing of its kind for ever.
/// @dev Every event here is part of the sealed log, see `ICarbonCredit`.
interface ICreditRegistry {
    // ------------------------------------------------------------------ types

    /// @notice A class of credits.
    /// @param cap how much may ever be issued in it, in kg
    /// @param issued how much has been issued in it, in kg
    /// @param bufferBps the share of every issuance that goes to the buffer, in hundredths of a
    /// percent
    struct Class {
        uint64 cap;
        uint64 issued;
        uint16 bufferBps;
    }

    /// @notice A project: who owns it and the class that its credits belong to.
    struct Project {
        address owner;
        uint32 classId;
    }

    /// @notice A site: its project, the end of the last period issued, and how many batches it has.
    struct Site {
        uint32 projectId;
        uint32 mintedUntil;
        uint32 batches;
    }

    // ----------------------------------------------------------------- events

    /// @notice A class of credits was registered.
    event ClassRegistered(
        uint32 indexed classId,
        string code,
        bytes32 methodologyHash,
        uint64 cap,
        uint16 bufferBps,
        uint64 seq,
        bytes32 head
    );

    /// @notice The cap of a class was changed.
    event ClassCapChanged(
        uint32 indexed classId, uint64 oldCap, uint64 newCap, uint64 seq, bytes32 head
    );

    /// @notice The buffer share of a class was changed.
    event ClassBufferChanged(
        uint32 indexed classId, uint16 oldBufferBps, uint16 newBufferBps, uint64 seq, bytes32 head
    );

    /// @notice A project was registered in a class.
    event ProjectRegistered(
        uint32 indexed projectId,
        uint32 indexed classId,
        address indexed owner,
        string code,
        uint64 seq,
        bytes32 head
    );

    /// @notice A site was registered in a project.
    event SiteRegistered(
        uint32 indexed siteId, uint32 indexed projectId, string code, uint64 seq, bytes32 head
    );

    // ----------------------------------------------------------------- errors

    error UnknownClass(uint32 classId);
    error UnknownProject(uint32 projectId);
    error UnknownSite(uint32 siteId);
    error CodeTaken(string code);
    error EmptyCode();
    error TextTooLong(uint256 length, uint256 limit);
    error ZeroOwner();
    error BufferTooLarge(uint16 bufferBps, uint16 limit);

    // -------------------------------------------------------------- functions

    /// @notice Registers a class of credits.
    /// @dev Requirements:
    /// - the caller is a registrar;
    /// - the code has 1 to 50 bytes and no other class has it;
    /// - the buffer share is at most half.
    /// @param code the name of the class in our books
    /// @param methodologyHash keccak-256 of the name and version of the methodology; for readers,
    /// kept in the event
    /// @param cap how much may ever be issued, in kg; zero means nothing at all
    /// @param bufferBps the share of every issuance that goes to the buffer, in hundredths of a
    /// percent
    /// @return classId the new class, counted from 1
    function registerClass(
        string calldata code,
        bytes32 methodologyHash,
        uint64 cap,
        uint16 bufferBps
    ) external returns (uint32 classId);

    /// @notice Changes the cap of a class. A cap below what is issued stops further issuance and
    /// changes nothing else.
    /// @dev Requirements:
    /// - the caller is a registrar;
    /// - the class is registered.
    function setClassCap(uint32 classId, uint64 cap) external;

    /// @notice Changes the buffer share of a class, for issuances to come.
    /// @dev Requirements:
    /// - the caller is a registrar;
    /// - the class is registered;
    /// - the share is at most half.
    function setClassBuffer(uint32 classId, uint16 bufferBps) external;

    /// @notice Registers a project in a class.
    /// @dev Requirements:
    /// - the caller is a registrar;
    /// - the class is registered and the owner is not zero;
    /// - the code has 1 to 50 bytes and no other project has it.
    /// @return projectId the new project, counted from 1
    function registerProject(uint32 classId, address owner, string calldata code)
        external
        returns (uint32 projectId);

    /// @notice Registers a site in a project.
    /// @dev Requirements:
    /// - the caller is a registrar;
    /// - the project is registered;
    /// - the code has 1 to 50 bytes and no other site has it.
    /// @return siteId the new site, counted from 1
    function registerSite(uint32 projectId, string calldata code) external returns (uint32 siteId);

    // ------------------------------------------------------------------ views

    /// @notice The terms of a class and what is issued in it; all zero for one that was never
    /// registered.
    function classOf(uint32 classId) external view returns (Class memory);

    /// @notice The owner and the class of a project; all zero for one that was never registered.
    function projectOf(uint32 projectId) external view returns (Project memory);

    /// @notice The project, the last period's end and the number of batches of a site; all zero
    /// when unregistered.
    function siteOf(uint32 siteId) external view returns (Site memory);

    /// @notice The class that was registered under a code, or zero.
    function classOfCode(string calldata code) external view returns (uint32 classId);

    /// @notice The project that was registered under a code, or zero.
    function projectOfCode(string calldata code) external view returns (uint32 projectId);

    /// @notice The site that was registered under a code, or zero.
    function siteOfCode(string calldata code) external view returns (uint32 siteId);

    /// @notice How many ledger events there are, and the hash that seals them all.
    function logHead() external view returns (uint64 seq, bytes32 head);
}
