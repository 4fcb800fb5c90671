"""The signer policy: each rule by its name, and the setting that it names."""

import re
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address

from ledger.chain.addresses.book import DeployedContract, Deployment
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.contracts.wrappers import encode_call
from ledger.chain.keys.policy import (
    ANYBODY,
    CURRENCY,
    MAY_CALL,
    TYPED_DATA,
    DailyCaps,
    GuardedKeyring,
    PolicyRefused,
    SignerPolicy,
)
from ledger.chain.keys.signers import Keyring, anvil_address, anvil_signer
from ledger.settings import load_settings

CREDIT_AT, SETTLEMENT_AT, CURRENCY_AT = ("0x" + digit * 40 for digit in "abc")
STRANGER = "0x" + "d" * 40
ISSUER, OPERATOR, HOLDER = anvil_address(2), anvil_address(7), anvil_address(5)
ZEROS = "0x" + "0" * 64


def contract(name: str, address: str, constructor: dict[str, Any]) -> DeployedContract:
    return DeployedContract(name, address, constructor, ZEROS, ZEROS, ZEROS, 1, None, ZEROS)


def test_who_may_call_what_is_what_the_page_says() -> None:
    """Whoever widens the table without saying so is stopped here; and so is a page that says more."""
    page = Path(__file__).resolve().parents[2] / "docs" / "sending.md"
    told: dict[str, dict[str, frozenset[str]]] = {}
    _, _, table = page.read_text().partition("| contract | role | functions |\n|---|---|---|\n")
    for line in takewhile(lambda line: line.startswith("|"), table.splitlines()):
        contract, role, functions = (cell.strip() for cell in line.strip("|").split("|"))
        told.setdefault(contract or list(told)[-1], {})[role] = frozenset(
            re.findall("`(.+?)`", functions.partition(";")[0])
        )
    told[CURRENCY] = told.pop("the currency")
    assert told == MAY_CALL
    assert "`Claim` by the verifier, `Settlement` by anybody" in page.read_text()
    assert {
        CREDIT: {"verifier": {"Claim"}, ANYBODY: set()},
        SETTLEMENT: {ANYBODY: {"Settlement"}},
    } == TYPED_DATA


@pytest.fixture
def deployment() -> Deployment:
    return Deployment(
        network="test",
        chain_id=11155111,
        genesis_hash=ZEROS,
        deployed_block=1,
        contracts={
            CREDIT: contract(CREDIT, CREDIT_AT, {}),
            SETTLEMENT: contract(SETTLEMENT, SETTLEMENT_AT, {"currency": CURRENCY_AT.upper()}),
        },
        accounts={
            "issuer": ISSUER,
            "operator": OPERATOR,
            "owner": HOLDER,
            "verifier": anvil_address(3),
        },
        class_id=1,
        class_code="c",
    )


@pytest.fixture
def policy(deployment: Deployment) -> SignerPolicy:
    return SignerPolicy.with_limits(deployment, 1_000_000, DailyCaps(3, 10**18))


def asked(to: str, data: str, **changes: Any) -> dict[str, Any]:
    return {
        "type": 2,
        "chainId": 11155111,
        "nonce": 0,
        "to": to,
        "value": 0,
        "data": data,
        "gas": 100_000,
        "maxFeePerGas": 10,
        "maxPriorityFeePerGas": 1,
        **changes,
    }


DEPOSIT = encode_call(SETTLEMENT, "deposit", [HOLDER, 5])
TRANSFER = encode_call(CREDIT, "safeTransferFrom", [HOLDER, STRANGER, 1, 2, b""])
PROPOSE = encode_call(SETTLEMENT, "proposeBatch", [b"k" * 32, 0, [HOLDER], [1]])
APPROVE = encode_call(CURRENCY, "approve", [SETTLEMENT_AT, 5])


@pytest.mark.parametrize(
    ("account", "transaction"),
    [
        (HOLDER, asked(SETTLEMENT_AT, DEPOSIT)),
        (HOLDER, asked(CREDIT_AT.upper().replace("0X", "0x"), TRANSFER)),
        (OPERATOR, asked(SETTLEMENT_AT, PROPOSE)),
        (HOLDER, asked(CURRENCY_AT, APPROVE)),
        (HOLDER, asked(HOLDER, "0x")),
    ],
)
def test_what_is_ours(policy: SignerPolicy, account: str, transaction: dict[str, Any]) -> None:
    policy.check_transaction(account, transaction)


@pytest.mark.parametrize(
    ("account", "transaction", "rule", "setting"),
    [
        (HOLDER, asked(SETTLEMENT_AT, DEPOSIT, chainId=1), "chain id", "deployment and rpc_url"),
        (HOLDER, asked(SETTLEMENT_AT, DEPOSIT, value=1), "value 0", "look for who asked"),
        (HOLDER, asked(SETTLEMENT_AT, DEPOSIT, gas=1_000_001), "gas cap", "signer_gas_max"),
        (HOLDER, asked(STRANGER, DEPOSIT), "destination", "deployment"),
        (HOLDER, asked(STRANGER, "0x"), "destination", "deployment"),
        (HOLDER, asked(SETTLEMENT_AT, PROPOSE), "selector", "deployment"),
        (HOLDER, asked(SETTLEMENT_AT, "0x"), "selector", "deployment"),
        (HOLDER, asked(SETTLEMENT_AT, "0xdeadbeef"), "selector", "deployment"),
        (HOLDER, asked(HOLDER, "0x00"), "destination", "deployment"),
        (HOLDER, asked(HOLDER, "0x", value=1), "value 0", "look for who asked"),
        (OPERATOR, asked(CREDIT_AT, PROPOSE), "selector", "deployment"),
        (
            HOLDER,
            asked(CURRENCY_AT, encode_call(CURRENCY, "approve", [STRANGER, 5])),
            "approval",
            "deployment",
        ),
        (HOLDER, asked(CURRENCY_AT, APPROVE[:-2]), "approval", "deployment"),
        (
            HOLDER,
            asked(CURRENCY_AT, encode_call(CURRENCY, "transfer", [STRANGER, 5])),
            "selector",
            "deployment",
        ),
        (
            HOLDER,  # test money is made on a local chain alone
            asked(CURRENCY_AT, encode_call(CURRENCY, "mint", [HOLDER, 5])),
            "selector",
            "deployment",
        ),
        (
            HOLDER,
            asked(CREDIT_AT, encode_call(CREDIT, "setApprovalForAll", [STRANGER, True])),
            "selector",
            "deployment",
        ),
    ],
)
def test_what_is_none_of_ours(
    policy: SignerPolicy, account: str, transaction: dict[str, Any], rule: str, setting: str
) -> None:
    with pytest.raises(PolicyRefused) as caught:
        policy.check_transaction(account, transaction)
    assert caught.value.rule == rule
    assert caught.value.message.startswith(f"signer policy, {rule}: ")
    assert setting in caught.value.message
    assert (caught.value.exit_code, caught.value.code) == (1, "signer-policy")


def test_test_money_on_a_local_chain(policy: SignerPolicy) -> None:
    local = replace(policy, chain_id=31337)
    data = encode_call(CURRENCY, "mint", [HOLDER, 5])
    local.check_transaction(HOLDER, asked(CURRENCY_AT, data, chainId=31337))


def message(kind: str, contract_address: str, chain_id: int = 11155111) -> dict[str, Any]:
    return {
        "types": {
            "EIP712Domain": [
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            kind: [{"name": "key", "type": "uint256"}],
        },
        "primaryType": kind,
        "domain": {"chainId": chain_id, "verifyingContract": contract_address},
        "message": {"key": 1},
    }


def test_messages(policy: SignerPolicy) -> None:
    verifier = anvil_address(3)
    policy.check_typed_data(verifier, message("Claim", CREDIT_AT))
    for account, text, rule in (
        (ISSUER, message("Claim", CREDIT_AT), "role"),
        (verifier, message("Claim", SETTLEMENT_AT), "role"),
        (verifier, message("Permit", CREDIT_AT), "role"),
        (verifier, message("Claim", STRANGER), "destination"),
        (verifier, message("Claim", CREDIT_AT, 1), "chain id"),
    ):
        with pytest.raises(PolicyRefused) as caught:
            policy.check_typed_data(account, text)
        assert caught.value.rule == rule


def test_a_guarded_keyring_has_no_unguarded_signer(policy: SignerPolicy) -> None:
    keyring = GuardedKeyring(Keyring({HOLDER: anvil_signer(5)}), policy)
    assert keyring.addresses == (HOLDER,)
    signer = keyring.signer(HOLDER, "test")
    raw, _ = signer.sign_transaction(asked(to_checksum_address(SETTLEMENT_AT), DEPOSIT))
    assert Account.recover_transaction(raw).lower() == HOLDER
    with pytest.raises(PolicyRefused):
        signer.sign_transaction(asked(STRANGER, DEPOSIT))
    with pytest.raises(PolicyRefused):
        signer.sign_typed_data(message("Claim", CREDIT_AT))


def test_caps_are_those_that_were_given_and_without_any_no_day_reaches_them(
    deployment: Deployment,
) -> None:
    asked = {"TRUETONNE_SIGNER_DAILY_TRANSACTIONS": "7", "TRUETONNE_SIGNER_DAILY_WEI": "11"}
    assert SignerPolicy.of(deployment, load_settings(None, asked)).caps == DailyCaps(7, 11)
    free = SignerPolicy.with_limits(deployment).caps
    full_blocks = 24 * 60 * 60  # one each second, all ours, at a thousand gwei
    assert free.transactions > full_blocks * 60_000_000 // 21_000
    assert free.cost_wei > full_blocks * 60_000_000 * 10**12


def test_every_function_of_the_table_exists() -> None:
    from ledger.chain.contracts.wrappers import selector_names

    for name, roles in MAY_CALL.items():
        known = set(selector_names(name).values())
        assert ANYBODY in roles
        for functions in roles.values():
            assert functions <= known
