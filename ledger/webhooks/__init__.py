"""Others are told of what the chain holds: signed messages, posted to whoever asked, in the Standard Webhooks form.

Only what is final is told, so nothing is ever taken back. ``collect`` makes deliveries of the events behind each
endpoint's own place in the chain, in the commit that moves it on: none is left out, and none is made twice.
``deliver`` posts what is due and notes each try. A process that dies between posting and noting posts again:
the message has the same ``webhook-id``, by which the other side knows it.
"""

from ledger.webhooks.delivering import Posting, agent, deliver, forget_delivered
from ledger.webhooks.endpoints import has_endpoints
from ledger.webhooks.outbox import collect

__all__ = ["Posting", "agent", "collect", "deliver", "forget_delivered", "has_endpoints"]
