"""Retirements: who used which credits up, on whose behalf."""
