"""Mutation: small faults put into the contracts one at a time, and whether a test notices."""

from scripts.prove.mutants.campaign import prove

__all__ = ["prove"]
