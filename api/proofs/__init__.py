"""Proofs: the bundle of a credit, and the way from a reading to the root on chain."""
