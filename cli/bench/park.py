"""The contracts on a local chain, as the benchmarks want them: deployed, with roles, a class, a project and a site."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from ledger.chain.addresses.book import DeployedContract, Deployment
from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.contracts.layout import canonical_type
from ledger.chain.contracts.wrappers import encode_call
from ledger.chain.keys.signers import ANVIL_ROLES, LocalSigner, anvil_address, anvil_signer
from ledger.chain.node.client import ChainClient
from ledger.chain.node.records import Receipt
from ledger.errors import DependencyDown
from ledger.units import DAY_S

CURRENCY = "TestCurrency"
LIBRARIES = ("BatchMetadata", "Cancellation", "Oversight", "Register", "SignedMessages")
FACTORY = "0x4e59b44847b379578588920ca78fbf26c0b4956c"
PARTY = {name: anvil_address(number) for name, number in ANVIL_ROLES.items()}
GAS_LIMIT = 16_777_216  # EIP-7825
SEND_SECONDS_MAX = 30.0


class Park:
    """The contracts on a chain of our own, with a class, a project, a site and funded accounts."""

    def __init__(self, client: ChainClient) -> None:
        self.client = client
        self.places: dict[str, str] = {}
        self.issued = 0
        self.now_s = self._block_time_s()
        for library in LIBRARIES:
            self._place_library(library)
        self._deploy(CURRENCY, {})
        admin = {"admin": PARTY["admin"], "adminDelay": 0}
        self._deploy(CREDIT, admin)
        terms = {
            "currency": self.places[CURRENCY],
            "credits": self.places[CREDIT],
            "window": 1,
            "disputeTimeout": 3600,
            "disputeBond": 0,
            "notionalCap": 10**15,
            "creditCap": 10**12,
            "feeCollector": PARTY["admin"],
        }
        self._deploy(SETTLEMENT, {**admin, **terms})
        self._grant()
        self.act("registrar", CREDIT, "registerClass", ["bench", keccak(text="m"), 2**63, 0])
        self.act("registrar", CREDIT, "registerProject", [1, PARTY["owner"], "bench"])
        self.act("registrar", CREDIT, "registerSite", [1, "bench"])

    def act(self, sender: str, contract: str, function: str, arguments: Sequence[Any]) -> Receipt:
        """Send a call, and return the receipt of what succeeded."""
        data = encode_call(contract, function, arguments)
        return self._send(PARTY[sender], self.places[contract], data)

    def claim(self, amount: int) -> tuple[Any, ...]:
        """Return a claim for the next day of the site."""
        self.issued += 1
        start = self.now_s - (1000 - self.issued) * DAY_S
        name = f"bench {self.issued}"
        return (
            keccak(text=f"key {name}"),
            *(1, 1, 1, amount, start, start + DAY_S, 0, 0),
            keccak(text=f"root {name}"),
            amount,
            keccak(text=f"manifest {name}"),
            keccak(text="m"),
            PARTY["owner"],
            self.now_s + DAY_S,
        )

    def issue(self, amount: int, root: bytes | None = None) -> tuple[int, Receipt]:
        """Issue a batch and return its id, with the receipt."""
        claim = self.claim(amount)
        if root is not None:
            claim = (*claim[:9], root, *claim[10:])
        signature = self.signed(CREDIT, "issue", claim, anvil_signer(ANVIL_ROLES["verifier"]))
        receipt = self.act("issuer", CREDIT, "issue", [claim, PARTY["verifier"], signature])
        return 1 << 32 | self.issued, receipt

    def retire_among(self, batch: int, transactions: int) -> Receipt:
        """Retire 1,000 kg in the middle of a block of that many transactions of others."""
        self.client.request("evm_setAutomine", [False])
        details = ("Muster GmbH, Berlin", "electricity of 2026, Scope 2", b"DE", 0, 0, bytes(32))
        arguments = [keccak(text=f"r {batch}"), batch, 1_000, details]
        retire = {"to": self.places[CREDIT], "data": encode_call(CREDIT, "retire", arguments)}
        tip = "0x3b9aca00"
        hashes = []
        for number in range(transactions):
            message = {"to": PARTY["admin"], "value": hex(number)}
            if number == transactions // 2:
                message = retire
            # One sender, so that nonces keep the order.
            message |= {"from": PARTY["owner"], "gas": hex(300_000), "maxPriorityFeePerGas": tip}
            hashes.append(self.client.request("eth_sendTransaction", [message]))
        self.client.request("evm_mine")
        self.client.request("evm_setAutomine", [True])
        receipt = self.client.receipt(hashes[transactions // 2])
        if receipt is None or receipt.status != 1:
            raise DependencyDown("the benchmark's retirement is in no block, or failed")
        return receipt

    def signed(
        self, contract: str, function: str, values: Sequence[Any], signer: LocalSigner
    ) -> bytes:
        """Return the EIP-712 signature of the struct that is a function's first argument."""
        functions = [item for item in artifact(contract).abi if item.get("name") == function]
        struct = functions[0]["inputs"][0]
        kind = struct["internalType"].split(".")[-1]
        fields = [{"name": part["name"], "type": part["type"]} for part in struct["components"]]
        domain = {
            "name": f"Truetonne {contract}",
            "version": "1",
            "chainId": self.client.chain_id(),
            "verifyingContract": self.places[contract],
        }
        kinds = ("string", "string", "uint256", "address")
        message = {part["name"]: value for part, value in zip(fields, values, strict=True)}
        return signer.sign_typed_data(
            {
                "types": {
                    "EIP712Domain": [
                        {"name": name, "type": type_}
                        for name, type_ in zip(domain, kinds, strict=True)
                    ],
                    kind: fields,
                },
                "primaryType": kind,
                "domain": domain,
                "message": message,
            }
        )

    def address_book(self) -> Deployment:
        """Return an address book of the contracts, as far as what is measured reads it."""
        nothing = "0x" + "00" * 32
        genesis = self.client.block(0)
        assert genesis is not None
        contracts = {
            name: DeployedContract(
                name=name,
                address=self.places[name],
                constructor=constructor,
                salt=nothing,
                init_code_hash=nothing,
                code_hash=nothing,
                block=1,
                tx_hash=None,
                source_hash=nothing,
            )
            for name, constructor in (
                (CREDIT, {}),
                (SETTLEMENT, {"currency": self.places[CURRENCY]}),
            )
        }
        return Deployment(
            network="bench",
            chain_id=self.client.chain_id(),
            genesis_hash=genesis.hash,
            deployed_block=1,
            contracts=contracts,
            accounts=dict(PARTY),
            class_id=1,
            class_code="bench",
        )

    # ------------------------------------------------------------------ set-up

    def _place_library(self, name: str) -> None:
        """Put a library where the linked code expects it: salted with the version, by CREATE2."""
        from importlib.metadata import version

        salt = keccak(text=f"truetonne {version('truetonne')}")
        code = bytes.fromhex(artifact(name).bytecode[2:])
        self._send(PARTY["admin"], FACTORY, "0x" + (salt + code).hex())
        digest = keccak(b"\xff" + bytes.fromhex(FACTORY[2:]) + salt + keccak(code))
        self.places[name] = "0x" + digest[12:].hex()

    def _deploy(self, name: str, given: Mapping[str, Any]) -> None:
        compiled = artifact(name)
        constructors = [entry for entry in compiled.abi if entry["type"] == "constructor"]
        inputs: list[dict[str, Any]] = constructors[0]["inputs"] if constructors else []
        values = [given[part["name"].removesuffix("_")] for part in inputs]
        arguments = abi_encode([canonical_type(part) for part in inputs], values)
        receipt = self._send(PARTY["admin"], None, compiled.bytecode + arguments.hex())
        assert receipt.contract_address is not None
        self.places[name] = receipt.contract_address

    def _grant(self) -> None:
        roles = {
            CREDIT: {"REGISTRAR_ROLE": "registrar"},
            SETTLEMENT: {"OPERATOR_ROLE": "operator", "MEMBER_ROLE": "operator"},
        }
        for contract, parties in roles.items():
            for role, party in parties.items():
                self.act("admin", contract, "grantRole", [keccak(text=role), PARTY[party]])
        for kind, party in (("ISSUER_ROLE", "issuer"), ("VERIFIER_ROLE", "verifier")):
            role_of_class = keccak(abi_encode(["string", "uint32"], [kind, 1]))
            self.act("admin", CREDIT, "grantRole", [role_of_class, PARTY[party]])

    def _send(self, sender: str, to: str | None, data: str) -> Receipt:
        message = {"from": sender, "data": data, "gas": hex(GAS_LIMIT)}
        if to is not None:
            message["to"] = to
        tx_hash = self.client.request("eth_sendTransaction", [message])
        until = time.monotonic() + SEND_SECONDS_MAX
        while (receipt := self.client.receipt(tx_hash)) is None:
            if time.monotonic() > until:
                raise DependencyDown(f"the node has not mined {tx_hash}")
            time.sleep(0.001)
        if receipt.status != 1:
            raise DependencyDown(f"the benchmark's transaction {tx_hash} failed")
        return receipt

    def _block_time_s(self) -> int:
        block = self.client.block("latest")
        assert block is not None
        return block.timestamp
