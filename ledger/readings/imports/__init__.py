"""What a file does to the books, and what is judged anew.

- **An import.** ``importing`` is the unit of work, for the source and the meters that are ``declared``; ``report`` is
  what it says at the end. ``series`` fixes what the readings of a meter are, ``copies`` finds a file that came for
  another device before; ``doubts`` has what the rows as a whole say against their source.
- **Its rows.** ``days`` stores them day by day; ``fresh`` is its fast way for days of which the books know nothing.
  ``ahead`` reads the next piece meanwhile. ``flatlines`` judges what came.
- **Later.** ``requalify`` judges stored readings anew, after something that they are judged or shown by has changed.
  ``withdrawing`` takes values back that were wrong, and ``restoring`` gives them back; ``selected`` finds the readings
  that are meant. ``standing`` makes readings what they were when an issuance was planned.
"""
