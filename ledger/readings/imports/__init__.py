"""What a file does to the books, and what is judged anew.

``importing`` is the unit of work, ``series`` what a meter's readings are. ``fresh`` and ``days`` take whole days,
``ahead`` of need; ``flatlines`` judges what came, ``copies`` whether it came for another device before, and
``report`` says what became of it. ``requalify`` and ``refreshing`` judge stored readings anew, after something has
changed.
"""
