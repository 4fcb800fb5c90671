"""Retirements: who used which credits up, on whose behalf.

``quick`` answers one by its number, which is asked for most.
"""
