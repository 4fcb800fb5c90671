"""An Anvil of our own.

``anvil`` starts and ends it, ``state`` mends what it saved, and ``shared`` has all processes of one database use the
same.
"""
