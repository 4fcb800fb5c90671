"""Makes Brownie wait for a receipt that a busy node is about to have.

Anvil counts a sender's nonce up a moment before it hands out the receipt. Brownie, which sees the one
without the other, takes the transaction as dropped and raises ``Tx dropped without known replacement``.
"""

import time
from typing import Any

PATIENCE_S = 60.0
"""How long a transaction that the node does not show is asked for again, in seconds."""
_PAUSE_S = 0.02
_PATIENT = ("get_transaction", "get_transaction_receipt")


def be_patient(web3: Any, patience_s: float = PATIENCE_S) -> None:
    """Ask for transactions and receipts again before they count as not found; once for each ``web3``.

    Parameters
    ----------
    web3
        Brownie's.
    patience_s
        For how long, in seconds.
    """
    from web3.exceptions import TransactionNotFound

    if getattr(web3.eth, "is_patient", False):
        return

    def patient(ask: Any) -> Any:
        def asked(tx_hash: Any) -> Any:
            until = time.monotonic() + patience_s
            while True:
                try:
                    return ask(tx_hash)
                except TransactionNotFound:
                    if time.monotonic() >= until:
                        raise
                    time.sleep(_PAUSE_S)

        return asked

    for name in _PATIENT:
        setattr(web3.eth, name, patient(getattr(web3.eth, name)))
    web3.eth.is_patient = True
