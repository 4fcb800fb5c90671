"""Mutation: small faults put into the contracts one at a time, and whether a test notices."""

from scripts.prove.mutants.campaign import SAMPLE, prove

__all__ = ["SAMPLE", "prove"]
