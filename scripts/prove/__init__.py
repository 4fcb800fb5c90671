"""``./dev prove``: what is known of the contracts beyond their tests, in one run.

Four parts, each of which runs alone: ``forge`` (invariants, fuzz, gas, sizes), ``halmos``
(properties for all inputs), ``slither`` (static analysis) and ``mutants`` (whether the tests would
notice). ``docs/assurance.md`` says what each of them assumes.
"""
