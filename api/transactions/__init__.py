"""Transactions to our contracts: pending, confirmed and failed ones."""
