"""Forged bundles by the hundred thousand, for both verifiers."""
