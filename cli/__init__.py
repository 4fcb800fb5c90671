"""The command line over all of the product.

``main`` finds the module of a command in its table; ``command``, ``output`` and ``files`` are what all commands share,
``books``, ``flow`` and ``mirror_open`` open what they work on, ``lists`` and ``drawing`` show it. ``demo`` and
``bench`` are rooms of their own.
"""
