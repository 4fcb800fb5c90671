"""Who holds the roles of deployed contracts, compared with the accounts of the deployment file."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from ledger.chain.addresses.book import Deployment
from ledger.chain.contracts.events import CREDIT, schemas
from ledger.chain.contracts.roles import ADMIN, CLASSES_NAMED, ROLES, role_of
from ledger.errors import DependencyDown

Request = Callable[[str, list[Any]], Any]

_TOPICS = {event.name: topic for topic, event in schemas(CREDIT).items()}
_GRANTED, REGISTERED = _TOPICS["RoleGranted"], _TOPICS["ClassRegistered"]
_REVOKED = _TOPICS["RoleRevoked"]


def role_rows(request: Request, deployment: Deployment) -> list[dict[str, Any]]:
    """Return a row for each role: ``contract``, ``role``, ``account`` of the file, ``holders``, ``differs``.

    The holders are all accounts to which the role was ever granted and that have it now. A row differs when the file's
    account is none of them, when the file names none and somebody has the role, or when another is the admin.
    Others beside the file's account are shown, and make no difference.

    Raises
    ------
    DependencyDown
        If the node does not answer with the logs.
    """
    rows = []
    addresses = {
        name: deployment.contract(name).address for name in ("CarbonCredit", "VppSettlement")
    }
    granted = {
        (address, role, account)
        for address in addresses.values()
        for role, account in _ever_granted(request, address, deployment.deployed_block)
    }
    for contract, name, account in ROLES:
        expected = deployment.accounts.get(account)
        address = addresses[contract]
        role, shown = role_of(name, deployment.class_id)
        known = {each for at, what, each in granted if (at, what) == (address, role)}
        asked = sorted(known | ({expected} if expected else set()))
        holders = [each for each in asked if has_role(request, address, role, each)]
        differs = holders != [expected] if name == ADMIN else _differs(expected, holders)
        row = {"contract": contract, "role": shown, "account": expected, "holders": holders}
        rows.append({**row, "differs": differs})
    return [*rows, *_other_rows(request, deployment, granted), _collector_row(request, deployment)]


def _other_rows(
    request: Request, deployment: Deployment, granted: set[tuple[str, bytes, str]]
) -> list[dict[str, Any]]:
    """Return rows of roles that the file cannot name: those of other classes, and whatever else was granted."""
    names = {
        role_of(kind, number)[0]: role_of(kind, number)[1]
        for kind in ("ISSUER", "VERIFIER")
        for number in range(1, CLASSES_NAMED + 1)
    }
    rows = []
    for contract in ("CarbonCredit", "VppSettlement"):
        address = deployment.contract(contract).address
        known = {role_of(name, deployment.class_id)[0] for at, name, _ in ROLES if at == contract}
        for role in sorted({what for at, what, _ in granted if at == address} - known):
            accounts = sorted(each for at, what, each in granted if (at, what) == (address, role))
            holders = [each for each in accounts if has_role(request, address, role, each)]
            if holders:
                shown = names.get(role, "0x" + role.hex())
                row = {"contract": contract, "role": shown, "account": None, "holders": holders}
                rows.append({**row, "differs": False})
    return rows


def _collector_row(request: Request, deployment: Deployment) -> dict[str, Any]:
    """Return who gets fees and lost bonds: no role, but an account of the file all the same."""
    expected = deployment.accounts.get("collector")
    found = call(request, deployment.settlement.address, keccak(text="feeCollector()")[:4])
    holder = f"0x{found:040x}"
    row = {"contract": "VppSettlement", "role": "feeCollector", "account": expected}
    return {**row, "holders": [holder], "differs": holder != expected}


def handovers(request: Request, deployment: Deployment) -> list[dict[str, Any]]:
    """Return a row for each contract whose admin has begun to hand the role over: ``contract``, ``to``, ``from``.

    ``from`` is the time (UTC) from which on the account may accept it, and be the admin.
    """
    rows = []
    for name in ("CarbonCredit", "VppSettlement"):
        data = "0x" + keccak(text="pendingDefaultAdmin()")[:4].hex()
        answer = request(
            "eth_call", [{"to": deployment.contract(name).address, "data": data}, "latest"]
        )
        account, schedule_s = decode(["address", "uint48"], bytes.fromhex(answer[2:]))
        if schedule_s:
            rows.append({"contract": name, "to": account.lower(), "from": told_time(schedule_s)})
    return rows


def told_time(time_s: int) -> str:
    """Return a time of the chain as text (UTC); an admin with a delay of ages may set one beyond all years."""
    try:
        return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{time_s} s after 1970"


def class_differs(request: Request, deployment: Deployment) -> bool:
    """Return whether the file's class has another number on the chain, or none."""
    data = keccak(text="classOfCode(string)")[:4] + encode(["string"], [deployment.class_code])
    return call(request, deployment.credit.address, data) != deployment.class_id


def class_is_registered(request: Request, deployment: Deployment, class_id: int) -> bool:
    """Return whether a class has this number. By its event: what the contract tells of a class may be all zero.

    Raises
    ------
    DependencyDown
        If the node does not answer with the logs.
    """
    topics = [REGISTERED, f"0x{class_id:064x}"]
    query = {"address": deployment.credit.address, "topics": topics}
    last = int(request("eth_blockNumber", []), 16)
    return bool(_logs(request, query, deployment.deployed_block, last))


def _differs(expected: str | None, holders: Sequence[str]) -> bool:
    return bool(holders) if expected is None else expected not in holders


def has_role(request: Request, contract: str, role: bytes, account: str) -> bool:
    """Return whether an account has a role."""
    data = keccak(text="hasRole(bytes32,address)")[:4] + encode(
        ["bytes32", "address"], [role, account]
    )
    return call(request, contract, data) == 1


def admin_of(request: Request, contract: str) -> str:
    """Return the one admin of a contract."""
    found = call(request, contract, keccak(text="defaultAdmin()")[:4])
    return to_checksum_address(f"0x{found:040x}")


def call(request: Request, contract: str, data: bytes) -> int:
    """Return the number, or the address as one, that a contract answers."""
    return int(request("eth_call", [{"to": contract, "data": "0x" + data.hex()}, "latest"]), 16)


def _ever_granted(request: Request, contract: str, first: int) -> set[tuple[bytes, str]]:
    """Return every role and account to which a contract ever granted it."""
    last = int(request("eth_blockNumber", []), 16)
    return {
        (bytes.fromhex(log["topics"][1][2:]), "0x" + log["topics"][2][-40:].lower())
        for log in _logs(request, {"address": contract, "topics": [_GRANTED]}, first, last)
    }


def was_revoked(request: Request, contract: str, role: bytes, account: str, first: int) -> bool:
    """Return whether an account lost a role, or gave it up, since a block.

    Raises
    ------
    DependencyDown
        If the node does not answer with the logs.
    """
    topics = [_REVOKED, "0x" + role.hex(), "0x" + account.lower().removeprefix("0x").zfill(64)]
    last = int(request("eth_blockNumber", []), 16)
    return bool(_logs(request, {"address": contract, "topics": topics}, first, last))


def _logs(request: Request, query: dict[str, Any], first: int, last: int) -> list[dict[str, Any]]:
    """Return logs of a range of blocks, in halves where the node refuses the whole.

    Raises
    ------
    DependencyDown
        If it refuses a single block.
    """
    blocks = {"fromBlock": hex(first), "toBlock": hex(last)}
    try:
        found: list[dict[str, Any]] = request("eth_getLogs", [{**query, **blocks}])
        return found
    except DependencyDown:
        if last <= first:
            raise
    middle = (first + last) // 2
    return [*_logs(request, query, first, middle), *_logs(request, query, middle + 1, last)]
