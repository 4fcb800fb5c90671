"""Parameters and answers of the contracts."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from api.finality import ChainPage
from api.pagination import PageParameters
from api.texts import AddressText, CodeText, Document, ShortCodeText, Time
from ledger.models.blockchain import ContractStatus


class ContractParameters(PageParameters):
    """Filters of the list of contracts."""

    network: ShortCodeText | None = Field(None, description="Only contracts on this network.")
    status: ContractStatus | None = Field(None, description="Only contracts with this status.")
    contract_name: CodeText | None = Field(
        None,
        description="Only the contract with this name, which ends in its network: `CarbonCredit@local`.",
    )
    contract_address: AddressText | None = Field(
        None, description="Only contracts at this address."
    )
    with_abi: bool = Field(False, description="Whether to include the interface of each contract.")


class Contract(Document):
    """A contract of ours on a network."""

    id: int = Field(description="Row number.")
    contract_name: str = Field(description="Name.")
    contract_address: str = Field(description="Address, lower-case.")
    network: str = Field(description="Name of the network.")
    status: ContractStatus = Field(description="Whether it is in use.")
    abi_sha256: str = Field(description="SHA-256 of the interface's text, as stored.")
    abi: list[dict[str, Any]] | None = Field(description="Interface, if it was asked for.")
    deployed_at: Time = Field(description="Time of the block that deployed it.")


class ContractPage(ChainPage):
    """One page of contracts."""

    items: list[Contract] = Field(description="The contracts of the page.")
