"""Parameters and answers of the proofs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.finality import ChainAnswer
from api.texts import IntegerText, InWords

READINGS_MAX = 1_000


class BundleParameters(BaseModel):
    """What a bundle should hold."""

    model_config = ConfigDict(extra="forbid")

    readings: Annotated[
        Literal["all"] | Annotated[int, Field(ge=0, le=READINGS_MAX)],
        InWords(f"write a number up to {READINGS_MAX}, or all"),
    ] = Field(
        0,
        description=f"How many readings, each with its proof, up to {READINGS_MAX}; or `all` of them.",
    )
    block: int | None = Field(
        None, ge=0, lt=2**63, description="Block to prove against; without it the last final one."
    )


class ReadingProof(ChainAnswer):
    """A reading, its leaf, and the siblings up to the evidence root of its issuance."""

    id: int = Field(description="Row number of the reading.")
    device_code: str = Field(description="Code of the device.")
    meter: str = Field(description="Serial number of the meter; the leaf has its keccak.")
    start: IntegerText = Field(description="First second of the interval, since 1970, UTC.")
    end: IntegerText = Field(description="First second after it.")
    kind: int = Field(description="1 mean power in kW, 2 energy in kWh; see docs/evidence.md.")
    quality: int = Field(description="What became of it and why; see docs/evidence.md.")
    digits: IntegerText = Field(description="The value times 10^scale.")
    scale: int = Field(description="Decimals of the value.")
    text: str = Field(description="The number as received; the leaf has its keccak.")
    unit: str = Field(description="Unit of the text.")
    file_line: int = Field(description="Line of the file that brought it.")
    leaf: str = Field(description="keccak(keccak(abi.encode(...))) of the eight fields.")
    proof: list[str] = Field(description="Siblings from the leaf up; `verifyReading` takes them.")
    evidence_root: str = Field(description="The root, as the issuance carries it on chain.")
    issuance_key: str = Field(description="Key of the issuance.")
