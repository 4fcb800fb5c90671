"""What the parts of one application share: the unit of work, the file, and what was done so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.changed_accounts import ACTION, resource_of
from ledger.codes import unreachable
from ledger.errors import BadInput
from ledger.models import Device, DeviceType, EmissionFactor, VppDefinition, VppSettlementAccount
from ledger.models.base import Base
from ledger.models.sites import FactorPurpose
from ledger.park import put_row
from ledger.sites.changes import SiteChanges, tell_changed
from ledger.sites.factors import find_factor
from ledger.sites.specs import SiteFile

_ASKED_BY_CODE = (DeviceType, Device, VppDefinition)
"""What has an address by its code; a resource has the code of its device, and a site and a project have no slash."""
Row = TypeVar("Row", bound=Base)


class Application:
    """One application of one file: its unit of work, and what was changed by it."""

    def __init__(self, session: Session, file: SiteFile) -> None:
        self.session = session
        self.file = file
        self.changes = SiteChanges()
        self.shown_otherwise = False
        """Whether the inventory of readings that are there comes to something else now."""

    def put(
        self,
        model: type[Row],
        key: Mapping[str, Any],
        values: Mapping[str, Any],
        label: str,
        initial: Mapping[str, Any] | None = None,
    ) -> Row:
        """Make or change one row, and note which; ``initial`` is for a new one alone.

        The audit log tells what a row was that is changed; of an account, ``put_account`` tells it.
        """
        row, done, before = put_row(self.session, model, key, values, initial)
        if before and model is not VppSettlementAccount:
            number: int = row.id  # type: ignore[attr-defined]  # every table of a site file has one
            after = {name: values[name] for name in before}
            tell_changed(self.session, f"{model.__tablename__}/{number}", before, after)
        if done == "created" and model in _ASKED_BY_CODE:
            (code,) = key.values()
            if (why := unreachable(code)) is not None:
                raise self.wrong(f"{label}: {code!r} {why}", "bad-code")
        done_so: list[str] = getattr(self.changes, done)
        done_so.append(label)
        return row

    def put_account(self, key: Mapping[str, Any], address: str, label: str) -> None:
        """Give a plant or a market its account; the audit log tells of another one than it had."""
        query = select(VppSettlementAccount.address).filter_by(**key)
        before = self.session.scalars(query).first()
        row = self.put(VppSettlementAccount, key, {"address": address}, label)
        if before not in (None, address):
            old, new = {"address": before}, {"address": address, "of": label}
            audit.record(self.session, ACTION, resource_of(row.id), old, new)

    def wrong(self, message: str, code: str) -> BadInput:
        """Return what is wrong with the file, to be raised."""
        return BadInput(f"{self.file.name}: {message}", code=code)

    def factor_row(
        self, code: str, version: str | None, what: str, *purposes: FactorPurpose
    ) -> EmissionFactor:
        """Return the factor that is meant; one of another purpose is refused where one is named.

        Raises
        ------
        BadInput
            If there is none of that code and version, or several, or it is of another purpose.
        """
        own = self.file.factors
        factor = find_factor(self.session, code, version, f"{self.file.name}: {what}", own)
        if purposes and factor.purpose not in purposes:
            wanted = " or ".join(purpose.value for purpose in purposes)
            raise self.wrong(
                f"{what}: {factor.code} is for {factor.purpose.value}; name a factor with purpose "
                f"{wanted}",
                "wrong-purpose",
            )
        if not factor.verified and factor.code not in {spec.code for spec in own}:
            self.changes.warnings.append(f"factor {code} {factor.version} is marked unverified")
        return factor
