"""The kernel of Truetonne: readings, reductions, issuance, settlement, and the books of all of it.

``docs/ARCHITECTURE.md`` has its rooms, what each is for, and which may import which.
"""
