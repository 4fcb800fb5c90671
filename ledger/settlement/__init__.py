"""Trades to money: import, plan, submit, confirm.

To follow one trade: ``trades.import_trades``, ``batches.plan_round``, ``batches.submit_planned``,
``finalizing.finalize_due``, ``confirm.settle_final``. What comes beside that way (a restore, a fork, others on the same
contract) is a table in docs/settlement.md: each case with its function and its test.

- **Trades.** ``trades`` reads files, ``trade_rows`` one row; ``readable`` says which rows are trades at all,
  ``fitting`` which of these can be settled, and ``caps`` what an operator may settle; ``numbers`` keeps the number that
  the chain has each under, ``renumbered`` says which are another trade's since; ``finding`` looks up trades and
  batches.
- **Plan.** ``batches`` is a settlement run, step by step: start there. ``planning`` makes batches of the ``pending``
  trades; ``netting`` adds up who pays what, and leaves out who cannot pay; ``shortfalls`` keeps account of that.
  ``words`` packs trades as the contract reads them, ``tree`` has their root and proofs, ``calls`` makes the calls;
  ``outlook`` and ``estimate`` say what a run would do and cost.
- **Submit.** ``batches`` sends what is planned. ``cosign`` has batches signed by their parties, ``cosign_files`` by
  files; ``signatures`` has those that outlive their batch. ``finalizing`` finalises what was proposed, ``skipping``
  passes closed batches. ``singles`` settles one trade. ``escrow`` moves money and credits in and out, ``money`` says
  whose it is.
- **Taken back.** ``cancel`` takes back what shall not be settled, ``disputes`` brings and rejects disputes over it, and
  ``ended`` gives up calls that come too late.
- **Confirm.** ``confirm`` is what the mirror calls; ``elsewhere`` and ``forgotten`` are what the chain has and
  these books do not, ``standstill`` says when that need not be looked for again; ``explain`` says what became of a
  batch or a trade, ``stuck`` what holds it up.
"""
