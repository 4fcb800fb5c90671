"""Libraries that the credit ledger links to, and its byte code with their addresses in it.

The libraries stand where the CREATE2 factory puts this version's code, as the contracts do, so that
their addresses are known before anything is deployed, and commit to their code. Whoever has the
ledger's code has their addresses, and thereby theirs.
"""

from typing import Any

from eth_utils.crypto import keccak

from scripts import create2

LIBRARIES = ("BatchMetadata", "Cancellation", "Oversight", "Register", "SignedMessages")


def library_address(project: Any, name: str) -> str:
    """Return where a library of Brownie's project stands on every chain, in checksum case."""
    return create2.address_of(create2.salt(), create2.init_code(project[name]._build, []))


def linked_build(project: Any, name: str) -> dict[str, Any]:
    """Return Brownie's artifact of a contract with its libraries' addresses in both byte codes.

    Raises
    ------
    ValueError
        If the contract links to a library that is not of ``LIBRARIES``.
    """
    build = dict(project[name]._build)
    for library in LIBRARIES:
        address = library_address(project, library)[2:].lower()
        # In the one code Brownie left the library's name, in the other the compiler's mark.
        build["bytecode"] = build["bytecode"].replace(f"__{library:_<38}", address)
        mark = keccak(text=f"{project[library]._build['sourcePath']}:{library}").hex()[:34]
        build["deployedBytecode"] = build["deployedBytecode"].replace(f"__${mark}$__", address)
    if "__" in build["bytecode"] or "__" in build["deployedBytecode"]:
        raise ValueError(f"{name} links to a library that scripts/linking.py does not know")
    return build
