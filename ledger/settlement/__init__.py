"""Trades to money: import, plan, submit, confirm.

- **Trades.** ``trades`` reads files, ``trade_rows`` one row; ``fitting`` says which can be settled, and ``caps``
  what an operator may settle; ``numbers`` keeps the number that the chain has each under; ``finding`` looks up
  trades and batches.
- **Plan.** ``planning`` freezes batches of what ``netting`` leaves in; ``shortfalls`` are left out; ``words``
  packs trades as the contract reads them, ``tree`` has their root and proofs, and ``calls`` are what is planned;
  ``outlook`` and ``estimate`` say what a run would do and cost.
- **Submit.** ``batches`` does a run step by step; ``finalizing`` finalises what was proposed, ``order`` passes
  closed ones; ``singles`` settles one trade; ``cosign`` takes signatures, ``cosign_files`` as files, and
  ``signatures`` has those that outlive their batch; ``escrow`` moves money and credits in and out, ``money`` says
  whose it is; ``cancel`` takes back what shall not be settled, ``disputes`` brings and rejects disputes over it, and
  ``ended`` gives up calls that come too late.
- **Confirm.** ``confirm`` is what the mirror calls; ``elsewhere`` and ``forgotten`` are what the chain has and
  these books do not; ``explain`` says what became of a batch or a trade, ``stuck`` what holds it up.
"""
