"""Makes a bundle of what the books say and what a node proves, and verifies it before it is handed out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from ledger.bundles.books import Subject, subject_of
from ledger.bundles.node_proofs import block_of, events_of, header_of, hex_of, state_of
from ledger.chain.addresses.book import DeployedContract, Deployment
from ledger.chain.node.client import ChainClient
from ledger.errors import DependencyDown, Refused
from ledger.proofs.verifier import FORMAT, ProofError, Trusted, verify
from ledger.proofs.verifier.checks import FACTORY
from ledger.proofs.verifier.trie import keccak256


@dataclass(frozen=True)
class BuiltBundle:
    """A bundle, and what its auditor must trust: the text is canonical JSON."""

    text: str
    trusted: Trusted
    checks: Sequence[tuple[str, str]]


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
    return prove(client, deployment, subject_of(session, credit, block, readings), block)


def prove(
    client: ChainClient, deployment: Deployment, subject: Subject, block: int | str
) -> BuiltBundle:
    """Have a node prove what the books say, and return that as a bundle; see ``build_bundle``.

    Raises
    ------
    Refused, DependencyDown
        As ``build_bundle``.
    """
    raw = block_of(client, block)
    number, newest = int(raw["number"], 16), max(place.block for place in subject.places)
    if newest > number:
        raise Refused(
            f"block {newest}, in which it was issued or retired, comes after block {number}, which the "
            "bundle would prove against: wait until it is final, or give a later block",
            code="not-final",
        )
    contract = deployment.credit
    project = None if subject.manifest is None else json.loads(subject.manifest)["project"]
    try:
        document = {
            "format": FORMAT,
            "chain_id": deployment.chain_id,
            "contract": contract.address,
            "batch_id": str(subject.batch_id),
            "serials": None if subject.serials is None else list(subject.serials),
            "header": hex_of(header_of(raw)),
            "creation": _creation(contract),
            **state_of(client, contract.address, subject.batch_id, project, raw),
            **events_of(client, subject.places, raw),
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
            f"the node's answers prove nothing ({why}); ask another node, or report it to whoever runs this one",
            code="not-proven",
        ) from error
    return BuiltBundle(text, trusted, verdict.checks)


def _creation(contract: DeployedContract) -> dict[str, str] | None:
    """Return what the address commits to; None for a contract that was deployed in another way."""
    salt, code = bytes.fromhex(contract.salt[2:]), bytes.fromhex(contract.init_code_hash[2:])
    place = keccak256(b"\xff" + FACTORY + salt + code)[12:]
    if hex_of(place) != contract.address:
        return None
    return {"salt": contract.salt, "init_code_hash": contract.init_code_hash}
