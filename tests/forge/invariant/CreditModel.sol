// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
import {ICreditOversight} from "../../../contracts/interfaces/ICreditOversight.sol";
import {ICreditRegistry} from "../../../contracts/interfaces/ICreditRegistry.sol";
import {CreditPark} from "../base/CreditPark.sol";
import {Sealing} from "../base/Sealing.sol";
import {Vm} from "../base/Test.sol";

/// @title What must be true of CarbonCredit, kept beside it in plain sums
/// @dev The model is told what each act does. It learns serials and the log from the events alone.
abstract contract CreditModel is CreditPark {
    using Sealing for Sealing.Log;

    struct BatchModel {
        uint64 issued;
        uint64 retired;
        uint64 cancelled;
        ICreditOversight.Status status;
        uint64 deficit;
        uint32 gapStart;
        address proposer;
        uint256 executableAt;
    }

    /// @dev Serials that an event named, or a period: both ends are in it.
    struct Run {
        uint64 first;
        uint64 last;
    }

    uint256 internal constant MAX_BATCHES = 20;
    uint256 internal constant MAX_ENTRIES = 8;
    uint256 internal constant PEOPLE = 4;

    address[] public holders; // the people, then the buffer
    uint256[] public batches;
    mapping(uint256 batchId => BatchModel) internal batchModel;
    mapping(uint256 batchId => ICarbonCredit.Claim) internal _claims;
    mapping(uint256 batchId => bytes32) internal _meters;
    mapping(uint256 batchId => mapping(address holder => uint256)) public held;
    mapping(uint256 batchId => Run[]) private _serials;
    mapping(uint256 siteId => Run[]) private _periods;
    mapping(uint256 classId => uint256) public issuedInClass;
    mapping(uint256 classId => uint256) public capOfClass;
    mapping(uint256 classId => uint256) public bufferOfClass;
    mapping(uint256 siteId => uint256) public mintedUntilModel;
    mapping(address holder => mapping(address operator => bool)) public approvedModel;
    mapping(uint256 batchId => mapping(uint256 batchId_ => bool)) public overlapProven;
    uint256 public classes;
    uint256 public projects;
    uint256 public sites;
    uint256 public retirements;
    bool public pausedModel;

    /// @dev How many runs of serials, or periods of a site, met another one or lay outside.
    uint256 public badRuns;

    Sealing.Log internal _log;
    bool private _refused;

    constructor() {
        vm.recordLogs();
        buildPark();
        holders = [owner, buyer, accountOf("third"), accountOf("fourth"), address(credit)];
        vm.prank(registrar);
        credit.registerSite(1, "beside the first");
        (classes, projects, sites) = (2, 2, 3);
        capOfClass[1] = capOfClass[2] = CAP;

        // The static part of each event's data, and which of its words are offsets.
        _event(ICreditRegistry.ClassRegistered.selector, 6, 1 << 0);
        _event(ICreditRegistry.ClassCapChanged.selector, 4, 0);
        _event(ICreditRegistry.ClassBufferChanged.selector, 4, 0);
        _event(ICreditRegistry.ProjectRegistered.selector, 3, 1 << 0);
        _event(ICreditRegistry.SiteRegistered.selector, 3, 1 << 0);
        _event(ICarbonCredit.Issued.selector, 20, 0);
        _event(ICarbonCredit.Retired.selector, 7, 1 << 4);
        _event(ICarbonCredit.Cancelled.selector, 6, 1 << 3);
        _event(ICarbonCredit.Replaced.selector, 7, 0);
        _event(ICreditOversight.StatusChanged.selector, 4, 0);
        _event(ICreditOversight.OverlapProven.selector, 18, 0);
        _event(ICreditOversight.InvalidationProposed.selector, 4, 1 << 1);
        _event(ICreditOversight.InvalidationDropped.selector, 2, 0);
        _event(ICreditOversight.Invalidated.selector, 4, 0);
        readLogs();
    }

    function _event(bytes32 topic, uint256 words, uint256 offsets) private {
        _log.words[topic] = words;
        _log.offsets[topic] = offsets;
    }

    // ---------------------------------------------------------------- the logs

    /// @dev Expects that the next call is refused. The recorder keeps also what a refused call had
    /// logged before it was undone; that is no part of the log.
    function refused() internal {
        _refused = true;
        vm.expectRevert();
    }

    /// @dev Reads what was logged since the last time.
    function readLogs() internal {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        if (_refused) {
            _refused = false;
            return;
        }
        readLogsOf(logs);
    }

    function readLogsOf(Vm.Log[] memory logs) internal {
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter != address(credit) || !_log.add(logs[i])) continue;
            bytes32 topic = logs[i].topics[0];
            bool ofRetirement =
                topic == ICarbonCredit.Retired.selector || topic == ICarbonCredit.Replaced.selector;
            if (ofRetirement) {
                (, uint64 first, uint64 amount) = abi.decode(logs[i].data, (uint64, uint64, uint64));
                _addSerials(uint256(logs[i].topics[2]), first, amount);
            } else if (topic == ICarbonCredit.Cancelled.selector) {
                (uint64 first, uint64 amount) = abi.decode(logs[i].data, (uint64, uint64));
                _addSerials(uint256(logs[i].topics[2]), first, amount);
            }
        }
    }

    function _addSerials(uint256 batchId, uint64 first, uint64 amount) private {
        uint64 last = first + amount - 1;
        if (first == 0 || last > batchModel[batchId].issued) ++badRuns;
        _add(_serials[batchId], first, last);
    }

    function _add(Run[] storage runs, uint64 first, uint64 last) private {
        for (uint256 i; i < runs.length; ++i) {
            if (first <= runs[i].last && runs[i].first <= last) ++badRuns;
        }
        runs.push(Run(first, last));
    }

    function logHead() external view returns (uint64 seq, bytes32 head) {
        return (_log.seq, _log.head);
    }

    // --------------------------------------------------------------- the sums

    function modelIssue(uint256 batchId, ICarbonCredit.Claim memory claim) internal {
        batches.push(batchId);
        BatchModel storage batch = batchModel[batchId];
        batch.issued = claim.amount;
        batch.status = ICreditOversight.Status.Active;
        _claims[batchId] = claim;
        uint256 buffered = claim.amount * bufferOfClass[claim.classId] / 10_000;
        held[batchId][address(credit)] = buffered;
        held[batchId][claim.recipient] = claim.amount - buffered;
        issuedInClass[claim.classId] += claim.amount;
        if (claim.backfillBefore == 0) {
            batch.gapStart = uint32(mintedUntilModel[claim.siteId]);
            mintedUntilModel[claim.siteId] = claim.periodEnd;
        } else {
            BatchModel storage next = batchModel[uint256(claim.siteId) << 32 | claim.backfillBefore];
            batch.gapStart = next.gapStart;
            next.gapStart = claim.periodEnd;
        }
        _add(_periods[claim.siteId], claim.periodStart, claim.periodEnd - 1);
    }

    function modelMove(uint256 batchId, address from, address to, uint256 amount) internal {
        held[batchId][from] -= amount;
        held[batchId][to] += amount;
    }

    function modelRetire(uint256 batchId, address holder, uint64 amount) internal {
        held[batchId][holder] -= amount;
        batchModel[batchId].retired += amount;
        ++retirements;
    }

    function modelCancel(uint256 batchId, address holder, uint64 amount) internal {
        held[batchId][holder] -= amount;
        batchModel[batchId].cancelled += amount;
    }

    /// @dev What all movements of units need.
    function moves(uint256 batchId) internal view returns (bool) {
        return is_(batchId, ICreditOversight.Status.Active) && !isPast(batchId);
    }

    function isPast(uint256 batchId) internal view returns (bool) {
        uint32 end = _claims[batchId].expiresAt;
        return end != 0 && end <= block.timestamp;
    }

    function is_(uint256 batchId, ICreditOversight.Status status) internal view returns (bool) {
        return batchModel[batchId].status == status;
    }

    // ---------------------------------------------------------------- choosing

    function anyHolder(uint256 seed) internal view returns (address) {
        return holders[seed % PEOPLE];
    }

    /// @dev The key of a holder: holders are made by their names.
    function keyOf(uint256 seed) internal pure returns (uint256) {
        string[4] memory names = ["owner", "buyer", "third", "fourth"];
        return uint256(keccak256(bytes(names[seed % PEOPLE])));
    }

    function anyBatch(uint256 seed) internal view returns (uint256) {
        return batches[seed % batches.length];
    }

    function modelOf(uint256 batchId) external view returns (BatchModel memory) {
        return batchModel[batchId];
    }

    function batchCount() external view returns (uint256) {
        return batches.length;
    }

    function holderCount() external view returns (uint256) {
        return holders.length;
    }

    function keyAndRootOf(uint256 batchId) external view returns (bytes32, bytes32) {
        return (_claims[batchId].key, _claims[batchId].evidenceRoot);
    }
}
