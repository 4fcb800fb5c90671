"""What a deployment is told, read before anything is compiled: a variable that is missing need not wait for a compiler.

``scripts.toolchain.brownie`` has it checked, as Brownie compiles before it runs a script. The keys are not opened here;
the script reads everything again, with the keys.
"""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

from ledger.chain.keys.keystore import key_files
from ledger.chain.keys.signers import anvil_address
from ledger.chain.node.client import ChainClient
from ledger.errors import BadInput
from ledger.settings import LOCAL_CHAIN_ID, Settings, load_settings
from scripts.deploy_plan import check_network, make_plan

_ANVILS = 10


def keystore_of(settings: Settings, chain_id: int) -> tuple[Path, Path] | None:
    """Return folder and password file of the keys; None where Anvil's well-known accounts serve.

    Raises
    ------
    BadInput
        If there must be a keystore and is none, or its password file is no file.
    """
    if settings.keystore is None:
        if chain_id != LOCAL_CHAIN_ID:
            raise BadInput("set TRUETONNE_KEYSTORE and TRUETONNE_KEYSTORE_PASSWORD_FILE")
        return None
    if settings.keystore_password_file is None or not settings.keystore_password_file.is_file():
        raise BadInput("TRUETONNE_KEYSTORE_PASSWORD_FILE is not a file")
    return settings.keystore, settings.keystore_password_file


def check_told(
    name: str, expected: int | None, rpc_url: str | None, environ: Mapping[str, str]
) -> None:
    """Refuse a deployment that is told too little, or what cannot be.

    Parameters
    ----------
    name, expected
        The network, and the chain id that is expected of it, if any is.
    rpc_url
        The address of its node; None for the one that Brownie starts.

    Raises
    ------
    BadInput, WrongChain
        If a variable, the keystore or the node's chain is not as it must be.
    DependencyDown
        If the node does not answer.
    """
    chain_id, chosen = LOCAL_CHAIN_ID, {"TRUETONNE_NETWORK": name}
    if rpc_url is not None:
        chosen["TRUETONNE_RPC_URL"] = rpc_url
        with closing(ChainClient(rpc_url)) as client:
            chain_id = client.chain_id()
    settings = load_settings(None, {**environ, **chosen})
    check_network(name, expected, chain_id)
    keystore = keystore_of(settings, chain_id)
    if keystore is None:
        addresses: list[str | None] = [anvil_address(index) for index in range(_ANVILS)]
    else:
        addresses = [file.address for file in key_files(keystore[0])]
    if None in addresses:  # whose it is shows when it is opened
        return
    make_plan(name, environ, chain_id, [SimpleNamespace(address=each) for each in addresses])
