// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICarbonCredit} from "../../../contracts/interfaces/ICarbonCredit.sol";
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
        ICarbonCredit.Status status;
        bytes32 key;
        bytes32 root;
    }

    /// @dev Serials that an event named: both ends are in it.
    struct Run {
        uint64 first;
        uint64 last;
    }

    uint256 internal constant MAX_BATCHES = 24;
    uint256 internal constant MAX_ENTRIES = 8;

    address[] public holders;
    uint256[] public batches;
    mapping(uint256 batchId => BatchModel) public batchModel;
    mapping(uint256 batchId => mapping(address holder => uint256)) public held;
    mapping(uint256 batchId => Run[]) internal _runs;
    mapping(uint256 classId => uint256) public issuedInClass;
    mapping(uint256 classId => uint256) public capOfClass;
    mapping(uint256 siteId => uint256) public mintedUntilModel;
    mapping(address holder => mapping(address operator => bool)) public approved;
    uint256 public classes;
    uint256 public projects;
    uint256 public sites;
    uint256 public retirements;
    bool public pausedModel;

    /// @dev How many runs of serials met another one, or lay outside what was issued.
    uint256 public badRuns;

    Sealing.Log internal _log;
    bool private _refused;

    constructor() {
        vm.recordLogs();
        buildPark();
        holders = [owner, buyer, accountOf("third"), accountOf("fourth")];
        classes = projects = sites = 2;
        capOfClass[1] = capOfClass[2] = CAP;

        // The static part of each event's data, and which of its words are offsets.
        _event(ICarbonCredit.ClassRegistered.selector, 5, 1 << 0);
        _event(ICarbonCredit.ClassCapChanged.selector, 4, 0);
        _event(ICarbonCredit.ProjectRegistered.selector, 3, 1 << 0);
        _event(ICarbonCredit.SiteRegistered.selector, 3, 1 << 0);
        _event(ICarbonCredit.Issued.selector, 17, 0);
        _event(ICarbonCredit.Retired.selector, 7, 1 << 4);
        _event(ICarbonCredit.Cancelled.selector, 6, 1 << 3);
        _event(ICarbonCredit.StatusChanged.selector, 4, 0);
        readLogs();
    }

    function _event(bytes32 topic, uint256 words, uint256 offsets) internal {
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
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter != address(credit) || !_log.add(logs[i])) continue;
            bytes32 topic = logs[i].topics[0];
            if (topic == ICarbonCredit.Retired.selector) {
                (, uint64 first, uint64 amount) = abi.decode(logs[i].data, (uint64, uint64, uint64));
                _addRun(uint256(logs[i].topics[2]), first, amount);
            } else if (topic == ICarbonCredit.Cancelled.selector) {
                (uint64 first, uint64 amount) = abi.decode(logs[i].data, (uint64, uint64));
                _addRun(uint256(logs[i].topics[2]), first, amount);
            }
        }
    }

    function _addRun(uint256 batchId, uint64 first, uint64 amount) private {
        uint64 last = first + amount - 1;
        Run[] storage runs = _runs[batchId];
        if (first == 0 || last > batchModel[batchId].issued) ++badRuns;
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
        batch.status = ICarbonCredit.Status.Active;
        batch.key = claim.key;
        batch.root = claim.evidenceRoot;
        held[batchId][claim.recipient] = claim.amount;
        issuedInClass[claim.classId] += claim.amount;
        mintedUntilModel[claim.siteId] = claim.periodEnd;
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

    function isActive(uint256 batchId) internal view returns (bool) {
        return batchModel[batchId].status == ICarbonCredit.Status.Active;
    }

    // ---------------------------------------------------------------- choosing

    function anyHolder(uint256 seed) internal view returns (address) {
        return holders[seed % holders.length];
    }

    function anyBatch(uint256 seed) internal view returns (uint256) {
        return batches[seed % batches.length];
    }

    function batchCount() external view returns (uint256) {
        return batches.length;
    }

    function holderCount() external view returns (uint256) {
        return holders.length;
    }
}
