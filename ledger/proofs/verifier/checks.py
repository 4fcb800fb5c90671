"""The checks of a bundle, in order, each in plain words; the first that fails ends it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ledger.proofs.verifier import blocks, ledger, rlp
from ledger.proofs.verifier.bundle import SLOTS, parse_bundle
from ledger.proofs.verifier.errors import ProofError
from ledger.proofs.verifier.trie import keccak256, lookup

FACTORY = bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c")
"""The factory that puts a contract where its init code and a salt say (CREATE2, EIP-1014)."""
HISTORY = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
HISTORY_BLOCKS = 8191
"""The contract that keeps the hashes of the blocks before, and how many (EIP-2935)."""

NOT_PROVEN = (
    "that the block belongs to the chain you mean: its hash is what you trust",
    "anything that happened after that block",
    "what the code does, or how it was set up: its hash is what you trust",
    "that the meters were right, or stood where they were said to stand",
    "the sum, unless all readings are in the bundle: a proof of some says that they were counted in",
)
"""What no bundle proves, in plain words."""


@dataclass(frozen=True)
class Trusted:
    """The four values that the auditor trusts; all else is proven from them."""

    block_hash: bytes
    address: bytes
    code_hash: bytes
    chain_id: int


@dataclass
class Verdict:
    """What a bundle proves: the checks that held, in plain words, and the facts behind them."""

    checks: list[tuple[str, str]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def hold(self, name: str, text: str, **facts: Any) -> None:
        """Note that a check held."""
        self.checks.append((name, text))
        self.facts.update(facts)


def verify(text: str, trusted: Trusted) -> Verdict:
    """Return what a bundle (JSON) proves to somebody who trusts four values.

    Raises
    ------
    ProofError
        With the check that failed, and why. Its ``done`` has those that held before.
    """
    verdict = Verdict()
    try:
        bundle = parse_bundle(text)
        headers = [_block(bundle, trusted, verdict)]
        batch, seq, head = _contract(bundle, trusted, headers[0], verdict)
        headers += _ancestors(bundle, headers, verdict)
        events: dict[str, dict[str, Any]] = {}
        for each in bundle["events"]:
            name = each["kind"]
            _require(name in ledger.EVENTS and name not in events, "format", f"event {name!r}")
            events[name] = _event(each, bundle, trusted, headers, verdict)
            place, sealed = events[name]["seq"], events[name]["head"]
            fits = 0 < place < seq or (place == seq and sealed == head)
            _require(fits, name, f"it is not in the contract's log of {seq} entries")
        _require("issued" in events, "issued", "the bundle lacks the event of the issuance")
        used = {each["block"] for each in bundle["events"]}
        used |= {each["anchor"] for each in bundle["ancestors"]}
        _require(used.issuperset(range(1, len(headers))), "format", "an ancestor leads nowhere")
        _issued(events["issued"], batch, verdict)
        if "retired" in events:
            _retired(events["retired"], batch, verdict)
        _serials(bundle["serials"], events.get("retired"), batch, verdict)
        _evidence(bundle, events["issued"], verdict)
    except ProofError as error:
        error.done = tuple(verdict.checks)
        raise
    return verdict


def _block(bundle: dict[str, Any], trusted: Trusted, verdict: Verdict) -> blocks.Header:
    header = blocks.read_header(bundle["header"], "block")
    _require(header.hash == trusted.block_hash, "block", f"its hash is 0x{header.hash.hex()}")
    what = f"the block that you trust is number {header.number}, of {_time(header.timestamp)}"
    verdict.hold("block", what, block=header.number, time=_time(header.timestamp))
    return header


def _contract(
    bundle: dict[str, Any], trusted: Trusted, header: blocks.Header, verdict: Verdict
) -> tuple[dict[str, Any], int, bytes]:
    """Check code and storage of the contract; return the batch, and length and head of the log."""
    named, number = "0x" + bundle["contract"].hex(), bundle["batch_id"]
    _require(bundle["contract"] == trusted.address, "contract", f"the bundle is of {named}")
    root, code = _account(header, trusted.address, bundle["account"], "contract")
    _require(code == trusted.code_hash, "contract", f"its code has the hash 0x{code.hex()}")
    verdict.hold("contract", f"in it, {named} has the code that you trust")
    made = bundle["creation"]
    if made is not None:
        place = keccak256(b"\xff" + FACTORY + made["salt"] + made["init_code_hash"])[12:]
        _require(place == trusted.address, "creation", "the factory would put it elsewhere")
        digest = "0x" + made["init_code_hash"].hex()
        what = f"its address says that it was made by init code with the hash {digest}"
        verdict.hold("creation", f"{what}, arguments included", init_code_hash=digest)

    places = ledger.SLOTS | {name: ledger.mapping_slot(name, number) for name in ledger.MAPPINGS}
    words = {name: _slot(root, places[name], bundle["storage"][name], name) for name in SLOTS}
    batch = ledger.read_batch(words["batch"]) | {"deficit_kg": words["deficit"]}
    what = ", ".join(f"{value} {name[:-3]}" for name, value in batch.items() if name[-3:] == "_kg")
    what = f"in it, batch {number} is {batch['status']}; of its kilograms are {what}"
    kilograms = {name: str(value) for name, value in batch.items() if name[-3:] == "_kg"}
    verdict.hold("batch", what, batch={"id": str(number)} | batch | kilograms)
    seq, head = words["counters"] % 2**64, words["head"].to_bytes(32, "big")
    what = f"in it, the contract's log has {seq} entries; its head is 0x{head.hex()}"
    verdict.hold("log", what, log={"seq": seq, "head": "0x" + head.hex()})
    admin = f"0x{words['admin'] % 2**160:040x}"
    verdict.hold("admin", f"in it, the admin of the contract is {admin}", admin=admin)
    return batch, seq, head


def _ancestors(
    bundle: dict[str, Any], trusted: list[blocks.Header], verdict: Verdict
) -> list[blocks.Header]:
    """Return older blocks, each proven by what the state of a newer one keeps of it."""
    headers = list(trusted)
    for each in bundle["ancestors"]:
        header = blocks.read_header(each["header"], "ancestor")
        _require(each["anchor"] < len(headers), "ancestor", "its anchor does not come before it")
        anchor = headers[each["anchor"]]
        near = 0 < anchor.number - header.number <= HISTORY_BLOCKS
        _require(near, "ancestor", f"{header.number} is too far from {anchor.number}")
        root, _ = _account(anchor, HISTORY, each["account"], "ancestor")
        kept = _slot(root, header.number % HISTORY_BLOCKS, each["slot"], "ancestor")
        same = kept == int.from_bytes(header.hash, "big")
        _require(same, "ancestor", f"block {anchor.number} has another block {header.number}")
        what = f"block {header.number}, of {_time(header.timestamp)}, is an ancestor of it"
        verdict.hold("ancestor", what)
        headers.append(header)
    return headers[1:]


def _event(
    each: dict[str, Any],
    bundle: dict[str, Any],
    trusted: Trusted,
    headers: list[blocks.Header],
    verdict: Verdict,
) -> dict[str, Any]:
    """Return an event of the contract from its receipt, with the transaction that made it."""
    name = each["kind"]
    _require(each["block"] < len(headers), name, "its block is not in the bundle")
    header, key = headers[each["block"]], rlp.encode(rlp.bytes_of(each["index"]))
    raw = lookup(header.receipts_root, key, each["receipt"], name)
    signed = lookup(header.transactions_root, key, each["transaction"], name)
    if raw is None or signed is None:
        raise ProofError(name, f"{name}: the block has no such transaction")
    transaction = blocks.read_transaction(signed, name)
    chains = {transaction.chain_id, trusted.chain_id, bundle["chain_id"]}
    _require(len(chains) == 1, name, f"it was signed for chain {transaction.chain_id}")
    status, logs = blocks.read_receipt(raw, name)
    _require(status == 1 and each["log"] < len(logs), name, "it failed, or has no such log")
    log = logs[each["log"]]
    _require(log.address == trusted.address, name, "the log is of another contract")
    event = ledger.read_event(name, log)
    _require(event["batch_id"] == bundle["batch_id"], name, "it is of another batch")
    verdict.facts[name] = {
        "block": header.number,
        "time": _time(header.timestamp),
        "transaction": "0x" + transaction.hash.hex(),
        "sender": "0x" + transaction.sender.hex(),
    } | {field: _shown(value) for field, value in event.items()}
    return event


def _issued(event: dict[str, Any], batch: dict[str, Any], verdict: Verdict) -> None:
    same = all(event[name] == batch[name] for name in ("period_start", "period_end"))
    same = same and event["amount"] == batch["issued_kg"]
    _require(same, "issued", "kilograms or period are not those of the batch")
    where = f"transaction {verdict.facts['issued']['transaction']} in block"
    what = f"{event['amount']} kg were issued by {where} {verdict.facts['issued']['block']}"
    verdict.hold("issued", f"{what}, checked by verifier 0x{event['verifier'].hex()}")


def _retired(event: dict[str, Any], batch: dict[str, Any], verdict: Verdict) -> None:
    last = event["first"] + event["amount"] - 1
    fits = event["amount"] > 0 and last <= event["total"] <= batch["retired_kg"]
    _require(fits, "retired", "its serials are not retired ones of the batch")
    where = f"transaction {verdict.facts['retired']['transaction']}"
    what = f"serials {event['first']} to {last} ({event['amount']} kg) were retired by {where}"
    verdict.hold("retired", f"{what} for {event['beneficiary']!r}")


def _serials(
    serials: tuple[int, int] | None,
    retired: dict[str, Any] | None,
    batch: dict[str, Any],
    verdict: Verdict,
) -> None:
    """Check what became of the serials that the bundle is about."""
    if serials is None:
        return
    first, last = serials
    if retired is not None:
        run = retired["first"], retired["first"] + retired["amount"] - 1
        inside = run[0] <= first <= last <= run[1]
        _require(inside, "serials", f"they are not those retired, {run[0]} to {run[1]}")
    top = batch["issued_kg"] - batch["cancelled_kg"]
    bounds = (1, batch["retired_kg"], "retired"), (batch["retired_kg"] + 1, top, "held")
    runs = (*bounds, (top + 1, batch["issued_kg"], "cancelled"))
    states = [state for start, end, state in runs if start <= first <= last <= end]
    _require(len(states) == 1, "serials", "they are not all retired, held or cancelled")
    what = f"serials {first} to {last} are {states[0]}"
    verdict.hold("serials", what, serials={"first": first, "last": last, "state": states[0]})


def _evidence(bundle: dict[str, Any], event: dict[str, Any], verdict: Verdict) -> None:
    """Check the manifest against the event, and the readings against its root."""
    manifest, readings, root = bundle["manifest"], bundle["readings"], event["evidence_root"]
    meters, count = None, None
    if manifest is not None:
        same = keccak256(manifest.encode()) == event["manifest_hash"]
        _require(same, "manifest", "its hash is not that of the event")
        meters, count = _read_manifest(manifest, event)
        verdict.hold("manifest", "the manifest of the calculation has the hash of the event")
    if readings is None:
        return
    listed = meters is None or meters.issuperset(readings["meters"])
    _require(listed, "readings", "a meter is not one of the manifest's")
    leaves = [ledger.leaf(readings["meters"][row[0]], row) for row in readings["rows"]]
    if readings["proofs"] is None:
        complete = ledger.root_of(leaves) == root and count in (None, len(leaves))
        _require(complete, "readings", "they are not exactly those of the evidence")
        what = f"the {len(leaves)} readings are all that the evidence has, and no other"
    else:
        for at, (leaf, proof) in enumerate(zip(leaves, readings["proofs"], strict=True)):
            _require(ledger.climb(leaf, proof) == root, "readings", f"row {at} has no such proof")
        what = f"{len(leaves)} readings stand in the evidence"
    verdict.hold("readings", what, readings=len(leaves), all_readings=readings["proofs"] is None)


def _read_manifest(text: str, event: dict[str, Any]) -> tuple[set[str], int]:
    """Return the serial numbers of a manifest's meters and how many readings it counts."""
    try:
        raw = json.loads(text)
        said = raw["evidence"]["root"], raw["carbon"]["issued_kg"]
        meters, count = {str(meter["serial"]) for meter in raw["meters"]}, raw["evidence"]["leaves"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ProofError("manifest", "manifest: the text behind the hash is none") from None
    same = said == ("0x" + event["evidence_root"].hex(), str(event["amount"]))
    _require(same, "manifest", "its root or its kilograms are not those of the event")
    return meters, count


def _account(
    header: blocks.Header, address: bytes, nodes: Iterable[bytes], name: str
) -> tuple[bytes, bytes]:
    """Return storage root and code hash of an account."""
    found = lookup(header.state_root, keccak256(address), nodes, name)
    if found is None:
        raise ProofError(name, f"{name}: 0x{address.hex()} does not exist in it")
    return blocks.read_account(found, name)


def _slot(root: bytes, slot: int, nodes: Iterable[bytes], name: str) -> int:
    """Return what a slot of an account holds; zero stands nowhere."""
    found = lookup(root, keccak256(slot.to_bytes(32, "big")), nodes, name)
    return 0 if found is None else rlp.number_of(rlp.decode(found, name), name)


def _require(truth: bool, name: str, message: str) -> None:
    if not truth:
        raise ProofError(name, f"{name}: {message}")


def _shown(value: Any) -> Any:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def _time(seconds: int) -> str:
    """Return seconds since 1970 as a time of UTC, or as they are where the calendar ends."""
    if seconds >= 253402300800:
        return str(seconds)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
