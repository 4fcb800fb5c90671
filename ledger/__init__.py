"""The kernel of Truetonne: readings, reductions, issuance, settlement, and the books of all of it."""
