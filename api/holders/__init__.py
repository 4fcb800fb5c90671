"""Holders: which credits an account has, and (``escrow``) what stands for it in the settlement contract."""
