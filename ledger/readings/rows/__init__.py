"""Readings in the books.

``store`` compares, judges and writes rows of intervals, ``registers`` those of cumulative registers, whose intervals
``chains`` and ``counters`` derive. ``stored`` gives both to the arithmetic, ``asking`` for several meters at once.
``withdrawals`` says which were taken back.
"""
