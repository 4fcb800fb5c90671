"""Small made-up chains, each with one thing wrong with it, and the bundle that would prove a credit there.

A forger who cannot break a hash can still show a true block of a chain where something is not as it should
be. So everything here hashes to the block that is trusted, and a check has to notice what is wrong.
Nothing is shared with the ledger: tries are py-trie's, encodings rlp's and eth-abi's, signatures eth-account's.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import rlp
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.crypto import keccak
from trie import HexaryTrie

from ledger.proofs.verifier import Trusted

CHAIN, BATCH, START, END = 1337, 5 << 32 | 7, 1_388_534_400, 1_391_209_200
FACTORY = "4e59b44847b379578588920ca78fbf26c0b4956c"
HISTORY = "0000f90827f1c53a10cb7a02335b175320002935"
SALT, INIT_CODE, CODE = b"\x05" * 32, keccak(b"init code"), keccak(b"code")
CONTRACT = keccak(b"\xff" + bytes.fromhex(FACTORY) + SALT + INIT_CODE)[12:]
DOCUMENT = b"\xd0" * 32
ISSUER, OWNER = (Account.from_key(keccak(text=name)) for name in ("issuer", "owner"))
ROW = [0, START, START + 600, 1, 100, "605", 1, "60.5"]
OTHER = [0, START + 600, START + 1200, 1, 301, "-7", 0, "-7"]
READING = "(bytes32,uint64,uint64,int256,uint8,uint8,uint16,bytes32)"
CLAIM = (
    "(bytes32,uint32,uint32,uint32,uint64,uint32,uint32,uint32,uint32,"
    "bytes32,uint64,bytes32,bytes32,address,uint64)"
)
ISSUED = f"Issued(bytes32,uint256,address,{CLAIM},address,address,uint64,uint64,bytes32)"
DETAILS = "(string,string,bytes2,uint32,uint32,bytes32)"
RETIRED = f"Retired(bytes32,uint256,address,uint64,uint64,uint64,uint64,{DETAILS},uint64,bytes32)"


def leaf(row: list[Any], meter: str = "M1") -> bytes:
    _, start, end, kind, quality, digits, scale, text = row
    values = (keccak(text=meter), start, end, int(digits), scale, kind, quality, keccak(text=text))
    return keccak(keccak(encode([READING], [values])))


def root_of(one: list[Any], other: list[Any]) -> bytes:
    """Return the root over two readings."""
    return keccak(b"".join(sorted([leaf(one), leaf(other)])))


LEAVES = [leaf(ROW), leaf(OTHER)]
ROOT = root_of(ROW, OTHER)
MANIFEST: dict[str, Any] = {
    "carbon": {"issued_kg": "1000"},
    "evidence": {"leaves": 2, "root": "0x" + ROOT.hex(), "total_kg": "1001"},
    "meters": [{"serial": "M1"}],
    "methodology": {"id": "CCER-01-002", "version": "V01"},
    "period": {"from_s": START, "to_s": END},
    "project": "park",
}


class Trie:
    """A trie of py-trie, and its proofs as a bundle has them."""

    def __init__(self, entries: dict[bytes, bytes]) -> None:
        self._trie = HexaryTrie({})
        for key, value in entries.items():
            self._trie[key] = value
        self.root = bytes(self._trie.root_hash)

    def proof(self, key: bytes) -> list[str]:
        nodes = [rlp.encode(node) for node in self._trie.get_proof(key)]
        return ["0x" + node.hex() for at, node in enumerate(nodes) if at == 0 or len(node) >= 32]


def entry(name: int, batch: int = BATCH) -> int:
    return int.from_bytes(keccak(batch.to_bytes(32) + name.to_bytes(32)))


def coded(name: int, code: str = "park") -> int:
    """Return the slot of a code in a mapping of codes."""
    return entry(name, int.from_bytes(keccak(text=code)))


def nested(depth: int) -> Any:
    """Return so many lists, each in the other; bytes where there is none."""
    return [nested(depth - 1)] if depth else b""


@dataclass
class World:
    """What is so in this world; each default is as it should be."""

    chain_id: int = CHAIN
    code: bytes = CODE
    status: int = 1
    issued_kg: int = 1000
    retired_kg: int = 100
    cancelled_kg: int = 50
    deficit_kg: int = 0
    expires_at: int = 0
    period_start: int = START
    period_end: int = END
    claimed_end: int = END
    """End of the period in the event; the two above are the batch's, and the start is both's."""
    distance: int = 10
    """Blocks between the events' and the trusted one."""
    remembered: bytes | None = None
    """The hash that is kept of the events' block, when it is another."""
    first: int = 1
    last: int = 100
    batch_of_issuance: int = BATCH
    batch_of_retirement: int = BATCH
    beneficiary: str = "Bäckerei"
    reason: str = "why"
    logged_by: bytes = CONTRACT
    log_bytes: dict[str, int] = field(default_factory=dict)
    """How much of an event's data is there, by its signature, when that is not all."""
    receipt_status: int = 1
    signed_chain: int | None = CHAIN
    kind: int = 2
    type_byte: bytes | None = None
    """Of the signed bytes, when it is another than the kind's."""
    high_s: bool = False
    evidence_total: int = 1001
    """What the claim says that the evidence comes to, in kilograms."""
    methodology: str = "CCER-01-002/V01"
    """What the claim has the hash of."""
    manifest: dict[str, Any] | str = field(default_factory=lambda: MANIFEST)
    registered: dict[int, int] = field(default_factory=lambda: {coded(9): 2, coded(10): 3})
    """The slots of codes that are taken, each with its number; the claim is of project 2 and site 3."""
    codes: str = "park"
    """The code that the bundle has the numbers of."""
    depth: int = 1
    """So deep lists stand in each other in the trusted header, itself one; those in it are a field of a later fork."""
    other: list[Any] = field(default_factory=lambda: OTHER)
    """The second of the two readings, which stands under the root of claim and manifest as well."""
    bundle: dict[str, Any] = field(default_factory=dict)
    """Parts of the bundle that are put in the place of the right ones."""

    def build(self) -> tuple[str, Trusted]:
        """Return the bundle and what its auditor trusts."""
        text = self.manifest if isinstance(self.manifest, str) else json.dumps(self.manifest)
        text = text.replace(ROOT.hex(), root_of(ROW, self.other).hex())
        transactions = [self._signed(account, at) for at, account in enumerate((ISSUER, OWNER))]
        signed = self._listed(transactions)
        receipts = self._listed(self._receipts(keccak(text=text)))
        old = self._header(1000, b"\0" * 32, signed.root, receipts.root)
        history = self._slots({1000 % 8191: int.from_bytes(self.remembered or keccak(old))})
        storage = self._slots(
            {
                **{2: int(ISSUER.address, 16), 3: 99, 4: 12 | 7 << 64},
                **{entry(11): self._batch(), entry(15): self.deficit_kg},
                **self.registered,
            }
        )
        keys = [keccak(address) for address in (CONTRACT, bytes.fromhex(HISTORY))]
        accounts = self._account(storage, self.code), self._account(history, keccak(b""))
        state = self._trie(dict(zip(keys, accounts, strict=True)))
        number = 1000 + self.distance
        header = self._header(
            number, state.root, signed.root, receipts.root, nested(self.depth - 1)
        )
        places = {"admin": 2, "head": 3, "counters": 4, "batch": entry(11), "deficit": entry(15)}
        bundle = {
            "format": "truetonne-bundle/2",
            "chain_id": self.chain_id,
            "contract": "0x" + CONTRACT.hex(),
            "batch_id": str(BATCH),
            "serials": [1, 100],
            "header": "0x" + header.hex(),
            "account": state.proof(keys[0]),
            "creation": {"salt": "0x" + SALT.hex(), "init_code_hash": "0x" + INIT_CODE.hex()},
            "storage": {
                name: storage.proof(keccak(at.to_bytes(32))) for name, at in places.items()
            },
            "ancestors": [
                {
                    "header": "0x" + old.hex(),
                    "anchor": 0,
                    "account": state.proof(keys[1]),
                    "slot": history.proof(keccak((1000 % 8191).to_bytes(32))),
                }
            ],
            "events": [
                {
                    **{"kind": kind, "block": 1, "index": at, "log": 0},
                    "transaction": signed.proof(rlp.encode(at)),
                    "receipt": receipts.proof(rlp.encode(at)),
                }
                for at, kind in enumerate(("issued", "retired"))
            ],
            "manifest": text,
            "registered": {
                "project": storage.proof(keccak(coded(9, self.codes).to_bytes(32))),
                "site": storage.proof(keccak(coded(10, self.codes).to_bytes(32))),
            },
            "readings": {"meters": ["M1"], "rows": [ROW, self.other], "proofs": None},
        }
        return json.dumps(bundle | self.bundle), Trusted(keccak(header), CONTRACT, CODE, CHAIN)

    def _batch(self) -> int:
        parts = ((self.status, 0), (self.issued_kg, 8), (self.retired_kg, 48))
        times = ((self.period_start, 128), (self.period_end, 160), (self.expires_at, 224))
        return sum(value << bit for value, bit in (*parts, (self.cancelled_kg, 88), *times))

    def _signed(self, account: Any, nonce: int) -> bytes:
        """Return a signed transaction of the type, without a chain where that is None (before EIP-155)."""
        fields = {
            "to": CONTRACT,
            "value": 0,
            "gas": 10**6,
            "nonce": nonce,
            "data": b"\x01",
        }
        fees = {"maxFeePerGas": 7, "maxPriorityFeePerGas": 1} if self.kind > 1 else {"gasPrice": 7}
        fields |= self._more(account, nonce)
        typed = {"type": self.kind} if self.kind else {}
        chain = {} if self.signed_chain is None else {"chainId": self.signed_chain}
        data = bytes(account.sign_transaction(fields | fees | typed | chain).raw_transaction)
        if not self.high_s:
            return data if self.type_byte is None else self.type_byte + data[1:]
        *start, parity, r, s = rlp.decode(data[1:])
        order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
        flipped = (order - int.from_bytes(s)).to_bytes(32).lstrip(b"\0")
        return data[:1] + bytes(rlp.encode([*start, b"" if parity else b"\1", r, flipped]))

    def _more(self, account: Any, nonce: int) -> dict[str, Any]:
        """Return what a transaction with blobs (EIP-4844) or with code for accounts (EIP-7702) has besides."""
        if self.kind == 3:
            return {"maxFeePerBlobGas": 9, "blobVersionedHashes": [b"\1" + b"\7" * 31]}
        if self.kind == 4:
            code = {"chainId": CHAIN, "address": b"\5" * 20, "nonce": nonce + 1}
            return {"authorizationList": [account.sign_authorization(code)]}
        return {}

    def _receipts(self, manifest_hash: bytes) -> list[bytes]:
        zero = b"\0" * 32
        claim = (
            zero,
            1,
            2,
            3,
            1000,
            self.period_start,
            self.claimed_end,
            4,
            5,
            root_of(ROW, self.other),
            self.evidence_total,
            manifest_hash,
            keccak(text=self.methodology),
            OWNER.address,
            8,
        )
        issued = encode(
            [CLAIM, "address", "address", "uint64", "uint64", "bytes32"],
            [claim, ISSUER.address, OWNER.address, 9, 11, zero],
        )
        details = (self.beneficiary, self.reason, b"DE", START, END, DOCUMENT)
        amount = self.last - self.first + 1
        retired = encode(
            ["uint64", "uint64", "uint64", "uint64", DETAILS, "uint64", "bytes32"],
            [1, self.first, amount % 2**64, self.last, details, 12, zero],
        )
        events = (
            (ISSUED, self.batch_of_issuance, issued),
            (RETIRED, self.batch_of_retirement, retired),
        )
        prefix = bytes([self.kind]) if self.kind else b""
        return [
            prefix + self._encoded([self.receipt_status, 21000, b"\0" * 256, [self._log(*event)]])
            for event in events
        ]

    def _log(self, signature: str, batch: int, data: bytes) -> list[Any]:
        holder = bytes.fromhex(OWNER.address[2:]).rjust(32, b"\0")
        topics = [keccak(text=signature), b"\x09" * 32, batch.to_bytes(32), holder]
        return [self.logged_by, topics, data[: self.log_bytes.get(signature)]]

    def _header(
        self, number: int, state: bytes, transactions: bytes, receipts: bytes, last: Any = b""
    ) -> bytes:
        zero, address = b"\0" * 32, b"\0" * 20
        numbers = [0, number, 30_000_000, 42_000, START + 10**7 + number]
        early = [
            zero,
            zero,
            address,
            state,
            transactions,
            receipts,
            b"\0" * 256,
            *numbers,
            b"made up",
        ]
        late = [zero, b"\0" * 8, 7, zero, 0, 0, zero, zero]
        return self._encoded([*early, *late, *([last] if last else [])])

    def _account(self, storage: Trie, code: bytes) -> bytes:
        return self._encoded([1, 0, storage.root, code])

    def _slots(self, values: dict[int, int]) -> Trie:
        return self._trie(
            {keccak(at.to_bytes(32)): self._encoded(value) for at, value in values.items() if value}
        )

    def _listed(self, values: list[bytes]) -> Trie:
        return self._trie({rlp.encode(at): value for at, value in enumerate(values)})

    def _trie(self, entries: dict[bytes, bytes]) -> Trie:
        return Trie(entries)

    def _encoded(self, item: Any) -> bytes:
        return bytes(rlp.encode(item))
