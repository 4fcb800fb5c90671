"""Others are told of what the chain holds: signed messages, posted to whoever asked, in the Standard Webhooks form.

Only what is final is told, so nothing is ever taken back. Deliveries are made of the events behind each
endpoint's own place in the chain (``outbox``), in the commit that moves it on: none is left out, and none is made
twice. What is due is posted, and each try noted (``delivering``). A process that dies between posting and noting posts
again: the message has the same ``webhook-id``, by which the other side knows it.

``endpoints`` are who is told, ``telling`` and ``alerts`` of what; ``targets`` says where a message may go,
``signing`` signs it, ``posting`` posts it, ``resting`` leaves those alone for a while that do not answer or ask for it,
and ``log`` shows what was sent, and of what a person should know.
"""

from ledger.webhooks.delivering import Posting, agent, deliver, forget_delivered, forget_messages
from ledger.webhooks.endpoints import has_endpoints
from ledger.webhooks.outbox import collect
from ledger.webhooks.resting import Rests

__all__ = [
    "Posting",
    "Rests",
    "agent",
    "collect",
    "deliver",
    "forget_delivered",
    "forget_messages",
    "has_endpoints",
]
