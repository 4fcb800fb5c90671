"""Readings in the books.

- **Written.** ``store`` compares, judges and writes rows of intervals, ``registers`` those of cumulative registers,
  whose intervals ``chains`` and ``counters`` derive. ``received`` writes the values for people to look at.
  ``meter_state`` is what an import knows of a meter meanwhile.
- **Read.** ``stored`` gives readings to the arithmetic; ``asking`` has the meters of a site, and says how many one
  query asks for. ``withdrawals`` says which were taken back.
"""
