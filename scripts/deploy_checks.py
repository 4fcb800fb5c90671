"""What is asked of the chain before anything is deployed, so that a deployment does not end half way."""

import time
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from ledger.chain.contracts.abi import artifact
from ledger.errors import BadInput, DependencyDown
from scripts.deploy_node import check_rules, factory_costs
from scripts.deploy_plan import Plan
from scripts.export_abi import metadata_hash
from scripts.linking import linked_build
from scripts.verify_roles import REGISTERED

PENDING_S = 120.0
"""How long transactions of an earlier run are waited for, in seconds."""
_PAUSE_S = 0.5
_REGISTRATION_GAS = 100_000
"""What the registration of a class takes at least: 124,549 with the shortest of terms."""


def check_before(
    project: Any, web3: Any, plan: Plan, codes: Mapping[str, tuple[str, bytes]]
) -> None:
    """Refuse a deployment that could not be finished. Sends nothing.

    Parameters
    ----------
    codes
        Address and init code of each contract, by its name.

    Raises
    ------
    BadInput
        If a key that will have to sign is not at hand, the currency is none, the class has other terms, or the
        sources are others than those that the program was made for.
    DependencyDown
        If the chain has older rules or smaller blocks than the contracts need, transactions of an earlier run do not
        come through, or the money does not suffice.
    """
    check_rules(web3)
    for role in ("admin", "registrar"):
        if plan.holders[role].lower() in plan.keys:
            _wait_for_pending(web3, role, plan.holders[role])
    _check_artifacts(project, list(codes))
    missing = [name for name, (address, _) in codes.items() if not web3.eth.get_code(address)]
    if missing:
        plan.key("admin")
    if "CarbonCredit" in missing or not _has_class(web3, codes["CarbonCredit"][0], plan):
        plan.key("registrar")
        _check_money(web3, plan, "registrar", "the registration of the class", _REGISTRATION_GAS)
    if "VppSettlement" in missing and plan.currency is not None:
        _check_currency(web3, plan.currency)
    if missing:
        gas = {name: _least_gas(linked_build(project, name), codes[name][1]) for name in missing}
        _check_blocks(web3, gas)
        factory = factory_costs(web3)
        _check_money(web3, plan, "admin", "the deployment", sum(gas.values()), factory)


def _check_artifacts(project: Any, names: Sequence[str]) -> None:
    """Compare what was compiled with what the program calls and reads."""
    different = [
        name
        for name in names
        if metadata_hash(linked_build(project, name)["deployedBytecode"])
        != artifact(name).source_hash
    ]
    if different:
        raise BadInput(
            f"{', '.join(different)} as compiled here differ from ledger/chain/contracts/abi, which the program "
            "goes by: run `./dev brownie compile --all`; if they still do, the sources were changed: "
            "docs/mirror.md, `export_abi`"
        )


def _has_class(web3: Any, credit: str, plan: Plan) -> bool:
    """Return whether the class is registered.

    Raises
    ------
    BadInput
        If it is, with another methodology, cap or buffer than the plan's: it would be taken for done.
    """

    def ask(question: str, types: list[str], value: Any, block: Any = "latest") -> bytes:
        data = keccak(text=question)[:4] + encode(types, [value])
        return bytes(web3.eth.call({"to": credit, "data": data}, block))

    def number(block: Any = "latest") -> int:
        answer = ask("classOfCode(string)", ["string"], plan.class_code, block)
        return int.from_bytes(answer, "big")

    class_id = number()
    if class_id == 0:
        return False
    methodology = _methodology_of(web3, credit, class_id, number)
    if methodology not in (None, keccak(text=plan.methodology)):
        raise BadInput(
            f"the class {plan.class_code} is registered already, and with another methodology than "
            f"{plan.methodology!r} (its hash is 0x{methodology.hex()}), which nobody can change: name another class in "
            "TRUETONNE_DEPLOY_CLASS, or set TRUETONNE_DEPLOY_METHODOLOGY to what it was registered with"
        )
    terms = ask("classOf(uint32)", ["uint32"], class_id)
    cap, _, buffer_bps = decode(["uint64", "uint64", "uint16"], terms)
    if (cap, buffer_bps) != (plan.class_cap_kg, plan.buffer_bps):
        raise BadInput(
            f"the class {plan.class_code} is registered already, with a cap of {cap} kg and a buffer of {buffer_bps} "
            f"hundredths of a percent, and is to have {plan.class_cap_kg} and {plan.buffer_bps}: let the registrar "
            "change it, or set TRUETONNE_DEPLOY_CLASS_CAP_KG and _BUFFER_BPS to what stands"
        )
    return True


def _methodology_of(
    web3: Any, credit: str, class_id: int, number_at: Callable[[int], int]
) -> bytes | None:
    """Return the hash of the methodology that a class was registered with; None: the node does not tell.

    The contract has it in the event alone. The block of that is the first in which the class's code is taken, which
    a node that keeps no old states cannot say.
    """
    low, high = 0, int(web3.eth.block_number)
    try:
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if number_at(middle) else (middle + 1, high)
        asked = {
            "address": credit,
            "fromBlock": hex(low),
            "toBlock": hex(low),
            "topics": [REGISTERED, "0x" + class_id.to_bytes(32, "big").hex()],
        }
        (log,) = web3.eth.get_logs(asked)
    except Exception:  # web3 has many names for what a node does not answer
        return None
    _, methodology, *_ = decode(["string", "bytes32", "uint64", "uint16"], bytes(log["data"]))
    return bytes(methodology)


def _check_currency(web3: Any, currency: str) -> None:
    """Refuse what the constructor would: no code, or a cent that is no whole number of units."""
    if not web3.eth.get_code(currency):
        raise BadInput(f"TRUETONNE_DEPLOY_CURRENCY: no contract stands at {currency} on this chain")
    try:
        answer = bytes(web3.eth.call({"to": currency, "data": keccak(text="decimals()")[:4]}))
    except Exception as error:  # web3 has many names for a call that reverts
        raise BadInput(
            f"TRUETONNE_DEPLOY_CURRENCY: {currency} has no decimals(): no ERC-20"
        ) from error
    decimals = int.from_bytes(answer, "big")
    if len(answer) != 32 or not 2 <= decimals <= 36:
        found = decimals if len(answer) == 32 else "no number"
        raise BadInput(
            f"TRUETONNE_DEPLOY_CURRENCY: {currency} must have 2 to 36 decimals, found {found}"
        )


def _wait_for_pending(web3: Any, role: str, account: str) -> None:
    """Wait until what an earlier run sent is mined: it would be sent again, and be refused."""
    until = time.monotonic() + PENDING_S
    while True:
        waiting = web3.eth.get_transaction_count(account, "pending")
        waiting -= web3.eth.get_transaction_count(account, "latest")
        if waiting <= 0:
            return
        if time.monotonic() >= until:
            raise DependencyDown(
                f"{waiting} transactions of the {role} {account} wait to be mined, from an earlier run or another "
                "program: run again when they are, or replace them with a higher fee"
            )
        time.sleep(_PAUSE_S)


def _check_blocks(web3: Any, gas: Mapping[str, int]) -> None:
    """Compare the least that each contract costs with what a block holds: a node says of it that the call reverts."""
    limit = int(web3.eth.get_block("latest")["gasLimit"])
    name, most = max(gas.items(), key=itemgetter(1))
    if most > limit:
        raise DependencyDown(
            f"{name} takes more than {most} gas, and a block of this chain holds {limit}. Nothing was sent: take a "
            "chain of larger blocks, or start the node with a higher gas limit"
        )


def _check_money(web3: Any, plan: Plan, role: str, work: str, gas: int, factory: int = 0) -> None:
    """Compare an account's money with the least that its work costs: more comes on top, of the admin the roles.

    Parameters
    ----------
    factory
        What is to be paid beside, in wei, before the CREATE2 factory stands.
    """
    account = plan.holders[role]
    price, has = int(web3.eth.gas_price), int(web3.eth.get_balance(account))
    least = gas * price + factory
    if has < least:
        beside = f", and {factory / 10**18:.6f} for the CREATE2 factory" if factory else ""
        raise DependencyDown(
            f"the {role} {account} has {has / 10**18:.6f} of the chain's money, and {work} takes more than "
            f"{least / 10**18:.6f} ({gas} gas at {price / 10**9:.3f} gwei{beside}): send it more, and run again"
        )


def _least_gas(build: dict[str, Any], init_code: bytes) -> int:
    """Return what a deployment costs without the constructor's own work: transaction, data, creation, code."""
    zeros = init_code.count(0)
    data = 4 * zeros + 16 * (len(init_code) - zeros)
    return 21_000 + data + 32_000 + 200 * (len(build["deployedBytecode"]) // 2)
