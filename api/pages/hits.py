"""Where a result of the search leads on the pages."""

from __future__ import annotations

from urllib.parse import quote

from api.search.schemas import Hit, HitKind

_PAGES = {
    HitKind.CREDIT: "/credits/{id}",
    HitKind.BATCH: "/credits/{id}",
    HitKind.RETIREMENT: "/retirements/{id}",
    HitKind.PROJECT: "/projects/{id}",
    HitKind.SITE: "/sites/{id}",
    HitKind.PLANT: "/plants/{id}",
    HitKind.SETTLEMENT: "/settlements/{id}",
    HitKind.TRANSACTION: "/transactions/{id}",
    HitKind.HOLDER: "/holders/{id}",
    HitKind.CONTRACT: "/operations#contracts",
}


def page_of_hit(hit: Hit) -> str:
    """Return the page of a result; where there is none, its answer in the API."""
    form = _PAGES.get(hit.kind)
    if form is not None:
        return form.format(id=quote(hit.id, safe=""))
    if hit.kind is HitKind.DEVICE:
        return hit.link.replace("/v1/sites/", "/sites/") + "#meters"
    return hit.link
