"""Proof bundles: one file that proves a credit to somebody who trusts a block hash and nothing of ours.

What stands in a bundle is described in ``docs/proof-format.md``. Every bundle is verified before it is
handed out, by the verifier that the auditor will use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.book import DeployedContract, Deployment
from ledger.chain.client import ChainClient, RpcError
from ledger.errors import DependencyDown, NotFound, Refused
from ledger.fates import refuse_mixed
from ledger.models import CreditBatch, CreditRetirement, Issuance
from ledger.models.issuance import IssuanceState
from ledger.naming import NamedCredit, find_credit, rows_of
from ledger.proofs import encoding
from ledger.proofs.tries import Trie, path
from ledger.proofs.verifier import FORMAT, ProofError, Trusted, ledger, verify
from ledger.proofs.verifier.checks import FACTORY, HISTORY, HISTORY_BLOCKS
from ledger.proofs.verifier.trie import keccak256
from ledger.readings.evidence_files import issued_inputs
from ledger.reductions.evidence import leaves_of, merkle_tree, proof_of
from ledger.reductions.records import Meter

_STEP_BLOCKS = HISTORY_BLOCKS
"""How far one ancestor lies before another at most."""
ALL = -1
"""As ``readings``: every reading of the issuance."""


@dataclass(frozen=True)
class BuiltBundle:
    """A bundle, and what its auditor must trust: the text is canonical JSON."""

    text: str
    trusted: Trusted
    checks: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Place:
    """Where an event stands; the index is the log's in its block."""

    kind: str
    block: int
    tx_hash: str
    log_index: int


@dataclass(frozen=True)
class Subject:
    """What a bundle is about, as the books have it."""

    batch_id: int
    serials: tuple[int, int] | None
    places: Sequence[Place]
    """Of the issuance, and of the retirement when there is one."""
    manifest: str | None = None
    readings: Mapping[str, Any] | None = None


def build_bundle(
    client: ChainClient,
    deployment: Deployment,
    session: Session,
    credit: str,
    block: int | str,
    readings: int = 0,
) -> BuiltBundle:
    """Return the bundle of a credit.

    Parameters
    ----------
    credit
        A credit as people name it; see ``naming``.
    block
        The block to prove against: a number, or a tag of the node's such as ``latest``.
    readings
        How many readings come with it, each with its proof; ``ALL`` for every one.

    Raises
    ------
    NotFound
        There is no such credit, or no such block.
    BadInput
        Some of the serials are retired, active or cancelled, and others are not.
    Refused
        The credit is newer than the block; the node no longer has the state of the block; or readings
        are wanted that are not in these books.
    DependencyDown
        The node does not answer, or contradicts itself.
    """
    named = find_credit(session, credit)
    batch = session.get_one(CreditBatch, named.batch_id)
    if named.serials is not None:
        refuse_mixed(session, batch, named.serials, block if isinstance(block, int) else None)
    places = _places(session, batch, named)
    manifest, rows = _evidence(session, batch, readings)
    subject = Subject(batch.batch_id, named.serials, places, manifest, rows)
    return prove(client, deployment, subject, block)


def prove(
    client: ChainClient, deployment: Deployment, subject: Subject, block: int | str
) -> BuiltBundle:
    """Return the bundle of what the books say, by what a node sends; see ``build_bundle``."""
    raw = _block(client, block)
    number, newest = int(raw["number"], 16), max(place.block for place in subject.places)
    if newest > number:
        raise Refused(
            f"block {newest}, in which it was issued or retired, comes after block {number}, which the "
            "bundle would prove against: wait until it is final, or give a later --block",
            code="not-final",
        )
    contract = deployment.credit
    try:
        document = {
            "format": FORMAT,
            "chain_id": deployment.chain_id,
            "contract": contract.address,
            "batch_id": str(subject.batch_id),
            "serials": None if subject.serials is None else list(subject.serials),
            "header": _hex(_header(raw)),
            "creation": _creation(contract),
            **_state(client, contract.address, subject.batch_id, raw),
            **_events(client, subject.places, raw),
            "manifest": subject.manifest,
            "readings": subject.readings,
        }
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        code = client.code(contract.address, raw["hash"])
        trusted = Trusted(
            block_hash=bytes.fromhex(raw["hash"][2:]),
            address=bytes.fromhex(contract.address[2:]),
            code_hash=keccak256(bytes.fromhex(code[2:])),
            chain_id=deployment.chain_id,
        )
        verdict = verify(text, trusted)
    except (ProofError, KeyError, IndexError, TypeError, ValueError) as error:
        why = str(error) if isinstance(error, ProofError) else "they are not of their form"
        raise DependencyDown(
            f"the node's answers prove nothing ({why}); ask another node, or say so to its keeper",
            code="not-proven",
        ) from error
    return BuiltBundle(text, trusted, verdict.checks)


def _creation(contract: DeployedContract) -> dict[str, str] | None:
    """Return what the address commits to; None for a contract that was deployed in another way."""
    salt, code = bytes.fromhex(contract.salt[2:]), bytes.fromhex(contract.init_code_hash[2:])
    place = keccak256(b"\xff" + FACTORY + salt + code)[12:]
    if _hex(place) != contract.address:
        return None
    return {"salt": contract.salt, "init_code_hash": contract.init_code_hash}


def _places(session: Session, batch: CreditBatch, named: NamedCredit) -> list[Place]:
    """Return where the issuance stands, and the retirement of the serials when there is one."""
    places = [Place("issued", batch.block_number, batch.tx_hash, batch.log_index)]
    rows = [] if named.serials is None else rows_of(session, named)
    if len(rows) == 1 and rows[0].retirement_id is not None:
        query = select(CreditRetirement).where(
            CreditRetirement.retirement_id == rows[0].retirement_id,
            CreditRetirement.replaced_batch_id.is_(None),
        )
        found = session.scalars(query).first()
        if found is not None:
            places.append(Place("retired", found.block_number, found.tx_hash, found.log_index))
    return places


def _block(client: ChainClient, block: int | str) -> dict[str, Any]:
    tag = hex(block) if isinstance(block, int) else block
    by_hash = isinstance(block, str) and block.startswith("0x")
    raw = client.request("eth_getBlockByHash" if by_hash else "eth_getBlockByNumber", [tag, True])
    if raw is None:
        raise NotFound(f"the node has no block {block}")
    return dict(raw)


def _header(raw: Mapping[str, Any]) -> bytes:
    data = encoding.header(raw)
    if _hex(keccak256(data)) != raw["hash"].lower():
        raise Refused(
            f"the header of block {int(raw['number'], 16)} has fields that are not known here: it "
            "cannot be proven",
            code="header-unknown",
        )
    return data


def _proof(client: ChainClient, address: str, slots: Sequence[int], raw: Mapping[str, Any]) -> Any:
    """Return account and storage proofs in the state of a block, named by its hash."""
    keys = [f"0x{slot:064x}" for slot in slots]
    try:
        return client.request("eth_getProof", [address, keys, {"blockHash": raw["hash"]}])
    except RpcError as error:
        raise Refused(
            f"the node has no proof in the state of block {int(raw['number'], 16)}: it no longer keeps "
            "that state, or proves none; ask an archive node, or prove against a newer --block",
            code="state-pruned",
        ) from error


def _state(
    client: ChainClient, address: str, batch_id: int, raw: Mapping[str, Any]
) -> dict[str, Any]:
    slots = dict(ledger.SLOTS) | {
        name: ledger.mapping_slot(name, batch_id) for name in ledger.MAPPINGS
    }
    found = _proof(client, address, list(slots.values()), raw)
    storage = zip(slots.items(), found["storageProof"], strict=True)
    return {
        "account": _account_nodes(found, address, raw),
        "storage": {name: _slot_nodes(found, slot, each) for (name, slot), each in storage},
    }


def _account_nodes(found: Any, address: str, raw: Mapping[str, Any]) -> list[str]:
    key = keccak256(bytes.fromhex(address[2:]))
    return _path(raw["stateRoot"], key, found["accountProof"])


def _slot_nodes(found: Any, slot: int, each: Any) -> list[str]:
    return _path(found["storageHash"], keccak256(slot.to_bytes(32, "big")), each["proof"])


def _path(root: str, key: bytes, nodes: Sequence[str]) -> list[str]:
    raw = [bytes.fromhex(node[2:]) for node in nodes]
    return [_hex(node) for node in path(bytes.fromhex(root[2:]), key, raw)]


def _events(
    client: ChainClient, places: Sequence[Place], trusted: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the events with their proofs, and the ancestors that they stand in."""
    chained = _Ancestors(client, trusted)
    events = []
    for place in places:
        at = chained.place_of(place.block)
        raw = chained.blocks[at]
        hashes = [item["hash"] for item in raw["transactions"]]
        index = hashes.index(place.tx_hash) if place.tx_hash in hashes else -1
        receipts = client.request_batch([("eth_getTransactionReceipt", [one]) for one in hashes])
        if index < 0 or any(receipt is None for receipt in receipts):
            raise DependencyDown(
                f"block {place.block} has no transaction {place.tx_hash} at this node: it is on another "
                "fork than the mirror; run truetonne index run",
                code="node-elsewhere",
            )
        logs = [int(log["logIndex"], 16) for log in receipts[index]["logs"]]
        signed = Trie([encoding.transaction(item) for item in raw["transactions"]])
        outcomes = Trie([encoding.receipt(item) for item in receipts])
        events.append(
            {
                "kind": place.kind,
                "block": at,
                "index": index,
                "log": logs.index(place.log_index),
                "transaction": [_hex(node) for node in signed.proof(index)],
                "receipt": [_hex(node) for node in outcomes.proof(index)],
            }
        )
    return {"ancestors": chained.documents, "events": events}


class _Ancestors:
    """The blocks of a bundle: the trusted one, and older ones that hang on it."""

    def __init__(self, client: ChainClient, trusted: Mapping[str, Any]) -> None:
        self._client = client
        self.blocks: list[Mapping[str, Any]] = [trusted]
        self.documents: list[dict[str, Any]] = []

    def place_of(self, number: int) -> int:
        """Return the place of a block, added with those between where it is too far away."""
        numbers = [int(raw["number"], 16) for raw in self.blocks]
        if number in numbers:
            return numbers.index(number)
        anchor = min(
            (at for at, other in enumerate(numbers) if other > number), key=lambda at: numbers[at]
        )
        while numbers[anchor] - number > _STEP_BLOCKS:
            anchor = self._add(anchor, numbers[anchor] - _STEP_BLOCKS)
            numbers.append(int(self.blocks[anchor]["number"], 16))
        return self._add(anchor, number)

    def _add(self, anchor: int, number: int) -> int:
        raw = _block(self._client, number)
        address = _hex(HISTORY)
        slot = number % HISTORY_BLOCKS
        found = _proof(self._client, address, [slot], self.blocks[anchor])
        self.documents.append(
            {
                "header": _hex(_header(raw)),
                "anchor": anchor,
                "account": _account_nodes(found, address, self.blocks[anchor]),
                "slot": _slot_nodes(found, slot, found["storageProof"][0]),
            }
        )
        self.blocks.append(raw)
        return len(self.blocks) - 1


def _evidence(
    session: Session, batch: CreditBatch, readings: int
) -> tuple[str | None, dict[str, Any] | None]:
    """Return manifest and readings, where these books have them."""
    query = select(Issuance).where(Issuance.key == batch.key, Issuance.state != IssuanceState.VOID)
    issuance = session.scalars(query).first()
    if issuance is None:
        if readings:
            raise Refused(
                "these books have neither manifest nor readings of the batch: it was issued from others; "
                "leave --readings out",
                code="no-evidence",
            )
        return None, None
    rows: dict[str, Any] | None = None
    if readings:
        rows = _readings(issued_inputs(session, issuance).meters, readings)
    return issuance.manifest, rows


def _readings(meters: Sequence[Meter], wanted: int) -> dict[str, Any]:
    """Return all readings, or so many of them spread evenly, each with its proof."""
    rows = [
        [at, *row[:4], str(row.digits), row.scale, row.text]
        for at, meter in enumerate(meters)
        for row in meter.readings
    ]
    proofs = None
    if wanted != ALL:
        leaves = leaves_of(meters)
        tree = merkle_tree(leaves)
        count = min(wanted, len(rows))
        chosen = [len(rows) * at // count for at in range(count)]
        proofs = [[_hex(node) for node in proof_of(tree, leaves[at])] for at in chosen]
        rows = [rows[at] for at in chosen]
    return {"meters": [meter.serial for meter in meters], "rows": rows, "proofs": proofs}


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
