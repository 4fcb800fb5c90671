"""Parameters and answers of the webhooks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from api.pagination import PageParameters
from api.texts import Document, Time, Whole, Written
from api.users.schemas import Body
from ledger.models.webhooks import DeliveryState, EndpointState

Url = Annotated[str, StringConstraints(min_length=8, max_length=2000)]
EventType = Annotated[str, StringConstraints(max_length=60)]
Description = Annotated[str, StringConstraints(max_length=200)]
MessageId = Annotated[
    str,
    Written("^msg_[a-z0-9_]{1,36}$", "write the id of a message, as the list of deliveries has it"),
]
Block = Annotated[Whole, Field(ge=0, lt=2**53)]


class NewEndpoint(Body):
    """An endpoint to be added."""

    url: Url = Field(description="Where messages are posted: https, of a public host.")
    event_types: list[EventType] = Field(
        min_length=1, max_length=50, description="Types that it wants; `credit.*` and `*` too."
    )
    description: Description | None = Field(None, description="Whose it is, for people.")
    from_block: Block | None = Field(
        None, description="First block whose events are told; without it: what becomes final now."
    )


class EndpointChange(Body):
    """What shall be otherwise; what is left out stays."""

    url: Url | None = Field(None, description="Where messages are posted.")
    event_types: list[EventType] | None = Field(
        None, min_length=1, max_length=50, description="Types that it wants."
    )
    description: Description | None = Field(None, description="Whose it is; an empty one for none.")
    state: Literal["active", "paused"] | None = Field(
        None, description="Active again, it is told what it missed."
    )


class Replay(Body):
    """What shall be sent once more: one of the three."""

    message_ids: list[MessageId] | None = Field(
        None, min_length=1, max_length=200, description="These messages."
    )
    failed: Literal[True] | None = Field(None, description="All that failed.")
    from_block: Block | None = Field(
        None, description="Everything from this block on, also what was taken."
    )

    @model_validator(mode="after")
    def _one(self) -> Replay:
        given = (self.message_ids, self.failed, self.from_block)
        if sum(item is not None for item in given) != 1:
            raise ValueError("give one of message_ids, failed and from_block")
        return self


class EndpointParameters(PageParameters):
    """Filters of the list of endpoints."""

    state: EndpointState | None = Field(None, description="Those in this state.")


class DeliveryParameters(PageParameters):
    """Filters of the list of deliveries."""

    state: DeliveryState | None = Field(None, description="Those that have come so far.")


class Endpoint(Document):
    """An endpoint, without its secrets."""

    id: int = Field(description="Row number.")
    url: str = Field(description="Where messages are posted.")
    description: str | None = Field(description="Whose it is.")
    event_types: list[str] = Field(description="Types that it wants.")
    state: EndpointState = Field(description="Whether it is told anything.")
    reason: str | None = Field(description="Why it is disabled.")
    told_block: int = Field(description="Last final block whose events became deliveries to it.")
    heard_at: Time | None = Field(description="When it last took a message; null: never.")
    created_at: Time = Field(description="When it was added.")


class MadeEndpoint(Endpoint):
    """An endpoint that was added just now."""

    secret: str = Field(description="Secret that signs its messages, shown this once: keep it.")


class NewSecret(Document):
    """Another secret of an endpoint."""

    secret: str = Field(description="The secret, shown this once: keep it.")
    former_until: Time = Field(description="Until when the former one signs as well.")


class Replayed(Document):
    """What came of asking for messages once more."""

    due: int = Field(
        description="How many messages are due again; with `from_block`, what was never sent follows."
    )


class EndpointPage(Document):
    """One page of endpoints."""

    items: list[Endpoint] = Field(description="The endpoints of the page.")
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last one.")


class Delivery(Document):
    """A message to an endpoint, with the last try."""

    id: int = Field(description="Row number.")
    message_id: str = Field(description="Its `webhook-id`.")
    event_type: str = Field(description="Type of the event.")
    tx_hash: str | None = Field(description="Transaction of the event; null: none of the chain's.")
    block_number: int | None = Field(description="Its final block.")
    state: DeliveryState = Field(description="How far it has come.")
    tries: int = Field(description="How often it was sent since it was last due anew.")
    due_at: Time = Field(description="When it is, or was, to be sent.")
    delivered_at: Time | None = Field(description="When it was taken.")
    last_try_at: Time | None = Field(description="When it was last sent.")
    last_status: int | None = Field(description="HTTP status of the last answer; null: none.")
    last_error: str | None = Field(description="Why the last try does not count; null: it does.")


class DeliveryPage(Document):
    """One page of deliveries."""

    items: list[Delivery] = Field(description="The deliveries of the page.")
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last one.")
