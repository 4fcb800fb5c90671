"""What a deployment is to be: the variables ``TRUETONNE_DEPLOY_...``, read and checked before anything is sent.

``scripts/deploy.py`` says what each of them means.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eth_utils.address import is_address, is_checksum_address, to_checksum_address

from ledger.chain.addresses.book import CHAIN_ID_MAX
from ledger.errors import BadInput, WrongChain
from ledger.serials import BATCH_KG_MAX
from ledger.settings import LOCAL_CHAIN_ID
from ledger.settings.deployment import LIMITS, OTHERS, ROLES, deployment_variables

BUFFER_BPS_MAX = 5000  # what the contract takes
CODE_BYTES_MAX = 50  # the same, of a class's code


@dataclass(frozen=True)
class Plan:
    """What is to stand on a network. Accounts are Brownie's where a key is at hand."""

    network: str
    holders: Mapping[str, str]
    """Address by role."""
    keys: Mapping[str, Any]
    """Brownie account by lower-case address."""
    currency: str | None
    """The ERC-20 of settlement; None deploys the test currency."""
    window_s: int
    dispute_timeout_s: int
    dispute_bond_cents: int
    notional_cap_cents: int
    credit_cap_kg: int
    admin_delay_s: int
    class_code: str
    methodology: str
    class_cap_kg: int
    buffer_bps: int

    def key(self, role: str) -> Any:
        """Return the account that sends for a role.

        Raises
        ------
        BadInput
            If its key is not at hand.
        """
        address = self.holders[role]
        if address.lower() not in self.keys:
            raise BadInput(f"no key of the {role} {address}: put its file into the keystore folder")
        return self.keys[address.lower()]


def make_plan(network: str, environ: Mapping[str, str], chain_id: int, keys: list[Any]) -> Plan:
    """Read the plan from the environment.

    Raises
    ------
    BadInput
        If a role, a number or the currency is missing or wrong, or a variable is none of ours.
    """
    local = chain_id == LOCAL_CHAIN_ID
    given = deployment_variables(environ)
    if _number(given, "buffer_bps", 0) > BUFFER_BPS_MAX:
        raise BadInput(f"TRUETONNE_DEPLOY_BUFFER_BPS must be at most {BUFFER_BPS_MAX}: half")
    if _number(given, "class_cap_kg", BATCH_KG_MAX) > BATCH_KG_MAX:
        raise BadInput(
            f"TRUETONNE_DEPLOY_CLASS_CAP_KG must be at most {BATCH_KG_MAX}: a batch may be as large as the cap, and "
            "the books hold no larger one"
        )
    for name in sorted(set(given) & {*ROLES, *OTHERS, "currency"}):
        check_address(f"TRUETONNE_DEPLOY_{name.upper()}", given[name])
    class_code = _class_code(given)
    if not local and "currency" not in given:
        raise BadInput("set TRUETONNE_DEPLOY_CURRENCY to the ERC-20 of settlement on this network")
    return Plan(
        network=network,
        holders=_holders(given, local, [each.address for each in keys]),
        keys={each.address.lower(): each for each in keys},
        currency=to_checksum_address(given["currency"]) if "currency" in given else None,
        window_s=_number(given, "window", 1 if local else 3600),
        dispute_timeout_s=_number(given, "dispute_timeout", 3600 if local else 259_200),
        dispute_bond_cents=_number(given, "dispute_bond", 0 if local else 10_000),
        notional_cap_cents=_number(given, "notional_cap", 10**12 if local else 10**8),
        credit_cap_kg=_number(given, "credit_cap", 10**12 if local else 10**7),
        admin_delay_s=_number(given, "admin_delay", 0 if local else 172_800),
        class_code=class_code,
        methodology=given.get("methodology", "CCER-01-002/V01"),
        class_cap_kg=_number(given, "class_cap_kg", BATCH_KG_MAX),
        buffer_bps=_number(given, "buffer_bps", 0),
    )


def _class_code(given: Mapping[str, str]) -> str:
    code = given.get("class", "internal-CCER-01-002-V01")
    if len(code.encode()) > CODE_BYTES_MAX:
        raise BadInput(
            f"TRUETONNE_DEPLOY_CLASS must have at most {CODE_BYTES_MAX} bytes, found {len(code.encode())}"
        )
    if not code.isprintable() or code != code.strip():
        raise BadInput(
            f"TRUETONNE_DEPLOY_CLASS must be printable, without blanks at its ends, found {code!r}: it stands for ever"
        )
    return code


def _holders(given: Mapping[str, str], local: bool, keys: list[str]) -> dict[str, str]:
    if local and len(keys) > 9:  # Anvil's own accounts
        anvil = dict(zip(("admin", "registrar", "issuer", "verifier", "owner"), keys, strict=False))
        defaults = {**anvil, "operator": keys[7], "pauser": keys[8], "reverser": keys[9]}
    else:
        admin = given.get("admin") or (keys[0] if len(keys) == 1 else None)
        if admin is None:
            raise BadInput("set TRUETONNE_DEPLOY_ADMIN to the account of the keystore that deploys")
        defaults = dict.fromkeys(("admin", "registrar", "operator", "pauser"), admin)
    known = (*ROLES, *OTHERS)
    holders = {**defaults, **{role: given[role] for role in known if role in given}}
    holders.setdefault("arbiter", holders["admin"])
    holders.setdefault("collector", holders["admin"])
    holders.setdefault("member", holders["operator"])
    missing = [f"TRUETONNE_DEPLOY_{role.upper()}" for role in ROLES if role not in holders]
    if missing:
        raise BadInput(f"set {', '.join(missing)}: issuer, verifier and owner are three parties")
    three = {holders[role].lower() for role in ("issuer", "verifier", "owner")}
    if len(three) < 3:
        raise BadInput("issuer, verifier and owner must be three different accounts")
    if holders.get("reverser", "").lower() == holders["admin"].lower():
        raise BadInput("admin and reverser must be two accounts: an invalidation needs both")
    return {role: to_checksum_address(holder) for role, holder in holders.items()}


def check_address(what: str, text: str) -> None:
    """Refuse what is no address, one that is mistyped, and nobody's.

    Parameters
    ----------
    what
        What it is called in the error.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    if not is_address(text):
        raise BadInput(f"{what} is not an address: {text!r}")
    digits = text.removeprefix("0x")
    if digits not in (digits.lower(), digits.upper()) and not is_checksum_address(f"0x{digits}"):
        raise BadInput(
            f"{what} is mistyped: {text} has another checksum; copy the address anew, or write it in small letters"
        )
    if int(digits, 16) == 0:
        raise BadInput(f"{what} is the zero address, which nobody has the key of")


def _number(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, str(default))
    variable = f"TRUETONNE_DEPLOY_{name.upper()}"
    if not text.isascii() or not text.isdigit():
        raise BadInput(f"{variable} must be a whole number, found {text!r}")
    least, most = LIMITS.get(name, (0, 2**64 - 1))
    if not least <= int(text) <= most:
        raise BadInput(f"{variable} must be {least} to {most}, found {text}")
    return int(text)


def check_network(name: str, expected: int | None, chain_id: int) -> None:
    """Refuse a node that serves another chain than the network's, or one that no books can hold.

    Parameters
    ----------
    expected
        The network's chain id, from ``networks.yaml``; None for a network that is not in it.

    Raises
    ------
    WrongChain
        If they differ: the address book of one chain would name contracts of another.
    BadInput
        If the chain's id is too large.
    """
    if chain_id > CHAIN_ID_MAX:
        raise BadInput(
            f"the node serves chain id {chain_id}, and the books hold no more than {CHAIN_ID_MAX}: give the chain a "
            "smaller one (EIP-2294)"
        )
    if expected is not None and expected != chain_id:
        raise WrongChain(
            f"the node serves chain id {chain_id}, and {name} is {expected}: correct the node's address, or name "
            "the network by --network"
        )
