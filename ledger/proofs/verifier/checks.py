"""The checks of a bundle, in order, each in plain words; the first that fails ends it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ledger.proofs.verifier import blocks, ledger, rlp
from ledger.proofs.verifier.bundle import parse_bundle, parse_json, too_deep
from ledger.proofs.verifier.errors import ProofError, require
from ledger.proofs.verifier.trie import keccak256, lookup

FACTORY = bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c")
"""The factory that puts a contract where its init code and a salt say (CREATE2, EIP-1014)."""
HISTORY = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
HISTORY_BLOCKS = 8191
"""The contract that keeps the hashes of the blocks before, and of how many (EIP-2935)."""
NOT_PROVEN = (
    "that the block belongs to the chain you mean: its hash is what you trust",
    "anything that happened after that block",
    "what the code does: its hash is what you trust",
    "whose the accounts are: issuer, verifier, holder and admin may be one party",
    "that the readings are what the meters counted, and that no reading and no meter was left out of the issuance",
    "that the meters were right, or stood where they were said to stand",
    "that what the manifest declares is so: the site, factor, ratings of meters, the carry brought in",
    "that nobody credited the same energy elsewhere: under another site, or in another registry",
    "that the readings come to the kilograms: that is arithmetic on all of them",
)
"""What no bundle proves."""
_UNSAID = {
    "creation": "by what init code, and with which arguments, the contract was made",
    "serials": "what became of single serials",
    "retired": "for whom the serials were retired",
    "held": "by whom the serials are held: accounts hold amounts of a batch, and not serials",
    "manifest": "how the kilograms were calculated",
    "registered": "under what code project and site of the credits are registered",
    "readings": "on which readings the kilograms rest",
}
"""What a bundle does not prove that leaves a part out, by the part."""
_RANGES = [*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]
NO_INK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0" + "".join(map(chr, _RANGES))
"""Letters and marks that nobody sees (Unicode's Default_Ignorable_Code_Point), and braille's blank."""


class Trusted(NamedTuple):
    """The four values that the auditor trusts; all else is proven from them."""

    block_hash: bytes
    address: bytes
    code_hash: bytes
    chain_id: int


@dataclass
class Verdict:
    """What a bundle proves: the checks that held, as (name, words), and the facts behind them."""

    checks: list[tuple[str, str]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    not_proven: tuple[str, ...] = NOT_PROVEN


def verify(text: str, trusted: Trusted) -> Verdict:
    """Return what a bundle (JSON) proves to somebody who trusts four values, or raise ``ProofError``."""
    verdict, name = Verdict(), "format"
    try:
        checks = _Checks(parse_bundle(text), trusted, verdict.facts)
        for name, *given in _in_order(checks.bundle):
            verdict.checks.append((name, getattr(checks, name)(*given)))
    except ProofError as error:
        failed = ProofError(f"{name}: {error}")
        failed.check, failed.done = name, tuple(verdict.checks)
        raise failed from None
    verdict.not_proven += tuple(_UNSAID[of] for of in _UNSAID if checks.bundle.get(of, "") is None)
    return verdict


def _in_order(bundle: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return the names of the checks, each with what it is given; a part that is null has none."""
    steps: list[Any] = [("block",), ("contract",), ("creation",), ("batch",), ("log",), ("admin",)]
    steps += [("ancestor", each) for each in bundle["ancestors"]]
    steps += [(each["kind"], each) for each in bundle["events"]]
    steps += [("serials",), ("manifest",), ("registered",), ("readings",)]
    return [step for step in steps if bundle.get(step[0], step) is not None]


class _Checks:
    """Each method returns in plain words what it proves; the later ones rest on the earlier ones.

    They keep for these: ``storage_root`` of the contract in the trusted block, below which its slots are looked up;
    ``unretired``, what serials are that are neither retired nor cancelled (held, or frozen where they are); ``since``,
    what is said of retired ones whose batch was invalidated: they stay so, and count as far as they were replaced;
    ``period``, for which the batch was issued, from and to in seconds since 1970 (UTC); ``meters``, ``count`` of
    readings and ``project``, as the manifest has them.
    """

    def __init__(self, bundle: dict[str, Any], trusted: Trusted, facts: dict[str, Any]) -> None:
        self.bundle, self.trusted, self.facts = bundle, trusted, facts
        self.headers: list[blocks.Header] = []

    def block(self) -> str:
        header, own = blocks.read_header(self.bundle["header"]), self.trusted.block_hash
        require(header.hash == own, f"it is block {header.number}, {_hex(header.hash)}, not yours")
        self.headers.append(header)
        self.facts |= {"block": header.number, "time": _time(header.time)}
        return f"the block you trust is number {header.number}, of {_time(header.time)}"

    def contract(self) -> str:
        address, chain_id = self.bundle["contract"], self.bundle["chain_id"]
        same = (address, chain_id) == (self.trusted.address, self.trusted.chain_id)
        require(same, f"the bundle is of {_hex(address)} on chain {chain_id}, not of yours")
        self.storage_root, code = _account(self.headers[0], address, self.bundle["account"])
        require(code == self.trusted.code_hash, f"its code has the hash {_hex(code)}, not yours")
        return f"the block you trust contains contract {_hex(address)}, with the code you trust"

    def creation(self) -> str:
        salt, init_code = self.bundle["creation"]["salt"], self.bundle["creation"]["init_code_hash"]
        made = keccak256(b"\xff" + FACTORY + salt + init_code)[12:]
        require(made == self.trusted.address, f"the factory would have put it at {_hex(made)}")
        self.facts["init_code_hash"] = init_code
        return f"that contract was made by init code, arguments included, with the hash {_hex(init_code)}"

    def batch(self) -> str:
        number = self.bundle["batch_id"]
        packed, deficit = (self.slot(name, number) for name in ledger.MAPPINGS)
        batch = self.facts["batch"] = ledger.read_batch(packed) | {"deficit_kg": deficit}
        batch["id"], kinds = number, ("issued", "retired", "cancelled", "deficit")
        words = ", ".join(f"{batch[f'{kind}_kg']} {kind}" for kind in kinds)
        state, end = batch["status"], batch["expires_at"]
        past = 0 < end <= self.headers[0].time  # a status is written later than its time, or never
        self.unretired = "frozen" if past or state in ("cancelled", "expired") else "held"
        since = f", of a batch that was invalidated since: {deficit} kg retired of it are still to be replaced"
        self.since = since if state == "cancelled" else ""
        state += f", which {'expired' if past else 'expires'} at {_time(end)}" if end else ""
        return f"the block contains batch {number}, {state}; of its kilograms are {words}"

    def log(self) -> str:
        seq, head = self.slot("counters") % 2**64, ledger.word(self.slot("head"))
        self.facts["log"] = {"seq": seq, "head": head}
        return f"the block contains the contract's log, of {seq} entries and with the head {_hex(head)}"

    def admin(self) -> str:
        admin = self.facts["admin"] = ledger.word(self.slot("admin"))[12:]
        return f"the block contains the one admin of the contract, {_hex(admin)}"

    def slot(self, name: str, key: int | None = None) -> int:
        place = ledger.SLOTS[name] if key is None else ledger.mapping_slot(name, key)
        return _slot(self.storage_root, place, self.bundle["storage"][name])

    def ancestor(self, each: dict[str, Any]) -> str:
        header, anchor = blocks.read_header(each["header"]), self.headers[each["anchor"]]
        near = 0 < anchor.number - header.number <= HISTORY_BLOCKS
        require(near, f"block {header.number} is too far from block {anchor.number}")
        root, _ = _account(anchor, HISTORY, each["account"])
        kept = _slot(root, header.number % HISTORY_BLOCKS, each["slot"])
        named = f"block {anchor.number} contains the hash of"
        require(ledger.word(kept) == header.hash, f"{named} another block {header.number}")
        self.headers.append(header)
        return f"{named} block {header.number}, of {_time(header.time)}"

    def event(self, each: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """Return an event of the contract, and in words where it stands."""
        header, key = self.headers[each["block"]], rlp.encode(rlp.digits_of(each["index"]))
        receipt = lookup(header.receipts_root, key, each["receipt"])
        signed = lookup(header.transactions_root, key, each["transaction"])
        require(receipt and signed, "its block has no such transaction")
        transaction, chain_id, sender = blocks.read_transaction(signed)
        require(chain_id == self.trusted.chain_id, f"it was signed for chain {chain_id}")
        address, topics, data = blocks.read_log(receipt, each["log"])
        require(address == self.trusted.address, "the log is of another contract")
        event = ledger.read_event(each["kind"], topics, data)
        require(event["batch_id"] == self.bundle["batch_id"], "it is of another batch")
        place = {"block": header.number, "time": _time(header.time)}
        self.facts[each["kind"]] = event | place | {"transaction": transaction, "sender": sender}
        by = f"by transaction {_hex(transaction)}, signed by {_hex(sender)}"
        return event, f"{by}, in block {header.number}"

    def issued(self, each: dict[str, Any]) -> str:
        (event, by), batch = self.event(each), self.facts["batch"]
        kg, *self.period = stated = [event[of] for of in ("amount", "period_start", "period_end")]
        same = stated == [batch[of] for of in ("issued_kg", "period_start", "period_end")]
        require(same, "kilograms or period are not those of the batch")
        before, when = event["backfill_before"], " to ".join(map(_time, self.period))
        how = f"as a backfill before batch {event['site_id'] << 32 | before} " if before else ""
        return f"{kg} kg were issued for the period {when} {how}{by}, and checked by verifier {_hex(event['verifier'])}"

    def retired(self, each: dict[str, Any]) -> str:
        event, by = self.event(each)
        first, last, kg = event["first"], event["last"], self.facts["batch"]["retired_kg"]
        require(first <= last <= kg, f"the batch has {kg} kg retired")
        whom, why = shown(event["beneficiary"]), shown(event["reason"])
        return f"serials {first} to {last} were retired for {whom} (reason: {why}) {by}{self.since}"

    def serials(self) -> str:
        (first, last), batch = self.bundle["serials"], self.facts["batch"]
        run = self.facts.get("retired", {"first": 1, "last": batch["issued_kg"]})
        inside = run["first"] <= first <= last <= run["last"]
        require(inside, f"they are not among {run['first']} to {run['last']}")
        retired, held = batch["retired_kg"], batch["issued_kg"] - batch["cancelled_kg"]
        state = "retired" if last <= retired else self.unretired if last <= held else "cancelled"
        below = {"retired": 0, self.unretired: retired, "cancelled": held}[state]
        require(first > below, "they are mixed")
        self.facts["serials"] = {"first": first, "last": last, "state": state}
        # Whose they are, or for whom they were retired, nothing but a retirement says: without one it is left out.
        self.bundle["held" if state == self.unretired else state] = self.facts.get("retired")
        since = self.since if state == "retired" else ""
        return f"serials {first} to {last} are {state} in the block you trust{since}"

    def manifest(self) -> str:
        text, event = self.bundle["manifest"], self.facts["issued"]
        require(keccak256(text.encode()) == event["manifest_hash"], "its hash is not the event's")
        stated = parse_json(text)
        require(not too_deep(stated), "not JSON as it is written here: nested too deep")
        try:
            evidence, carbon = stated["evidence"], stated["carbon"]
            said = evidence["root"], evidence["total_kg"], carbon["issued_kg"]
            # Only a list adds up.
            self.meters = {meter["serial"] for meter in [] + stated["meters"]}
            self.count = evidence["leaves"]
            self.project = stated.get("project")
            period = [stated["period"][name] for name in ("from_s", "to_s")]
            rules = "/".join(stated["methodology"][name] for name in ("id", "version"))
            hashed = keccak256(rules.encode())
        except (KeyError, TypeError, UnicodeEncodeError):
            raise ProofError("the text behind the hash is none") from None
        kilograms = str(event["evidence_total"]), str(event["amount"])
        same = said == (_hex(event["evidence_root"]), *kilograms)
        require(same, "its root or its kilograms are not those of the event")
        require(repr(period) == repr(self.period), "its period is not that of the event")
        require(hashed == event["methodology_hash"], "its methodology is not that of the event")
        self.facts["methodology"] = rules
        words = "the manifest of the calculation has the hash, root, period and kilograms of the issuance"
        return f"{words}, and its methodology, {shown(rules)}"

    def registered(self) -> str:
        event, code = self.facts["issued"], self.project
        for name, nodes in self.bundle["registered"].items():
            try:
                place = ledger.code_slot(name, code)
            except (AttributeError, UnicodeEncodeError):
                raise ProofError("the manifest names no project") from None
            same = _slot(self.storage_root, place, nodes) == event[f"{name}_id"]
            require(same, "its project or its site has another code than the manifest names")
        self.facts["project"] = code
        of = f"project {event['project_id']} and site {event['site_id']}"
        return f"the manifest's project, {shown(code)}, is the code of {of}, for which the kilograms were issued"

    def readings(self) -> str:
        meters, rows, proofs = map(self.bundle["readings"].get, ("meters", "rows", "proofs"))
        root = self.facts["issued"]["evidence_root"]
        inside = all(self.period[0] <= row[1] <= row[2] <= self.period[1] for row in rows)
        require(inside, "a reading lies outside of the period")
        leaves = [ledger.leaf(meters[row[0]], row) for row in rows]
        require(len(set(leaves)) == len(leaves), "a reading stands twice")
        if self.bundle["manifest"] is not None:
            require(self.meters.issuperset(meters), "a meter is not one of the manifest's")
            require(proofs or repr(self.count) == str(len(rows)), "they are not as many as it says")
        self.facts |= {"readings": len(rows), "all_readings": proofs is None}
        if proofs is None:
            require(ledger.root_of(leaves) == root, "they are not exactly those of the evidence")
            return f"the {len(rows)} readings are all that the issuance rests on, and no other"
        for at, leaf in enumerate(leaves):
            require(ledger.climb(leaf, proofs[at]) == root, f"row {at} has no such proof")
        return f"{len(rows)} readings are among those that the issuance rests on"


def _account(header: blocks.Header, address: bytes, nodes: list[bytes]) -> tuple[bytes, bytes]:
    found = lookup(header.state_root, keccak256(address), nodes)
    require(found, f"{_hex(address)} does not exist in block {header.number}")
    _, _, storage_root, code_hash = rlp.list_of(rlp.decode(found), 4)
    return rlp.bytes_of(storage_root, 32), rlp.bytes_of(code_hash, 32)


def _slot(storage_root: bytes, place: int, nodes: list[bytes]) -> int:
    found = lookup(storage_root, keccak256(ledger.word(place)), nodes)
    return rlp.number_of(rlp.decode(found)) if found else 0  # zero stands nowhere


def shown(text: str) -> str:
    """Return somebody's text in quotes; signs that do not show as themselves by their numbers."""
    plain = {sign for sign in text if sign.isprintable() and sign not in '"\\' + NO_INK}
    return f'"{"".join(sign if sign in plain else f"<{ord(sign):x}>" for sign in text)}"'


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _time(seconds: int) -> str:
    # At most the end of the calendar.
    return datetime.fromtimestamp(min(seconds, 253402300799), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
