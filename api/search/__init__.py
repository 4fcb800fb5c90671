"""One box for everything that has a name: typed results, exact ones first.

``numbers`` is what a hash, an address or a number may be the name of, ``spellings`` how else a text can be read that
names nothing.
"""
