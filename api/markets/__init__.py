"""Markets: the accounts that they settle with, and what money these have in escrow."""
