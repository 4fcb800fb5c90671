"""Readings: what became of the slots of a site's meters."""
