"""Holders: which credits an account has."""
