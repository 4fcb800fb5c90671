"""The command line over all of the product.

The program begins in ``start``, which hears that it is told to end. ``main`` finds the module of a command in its
table; most modules are a command or a group of them. ``command``, ``output``, ``files`` and ``credit_options`` are
what commands share, ``books``, ``flow`` and ``mirror_open`` open what they work on. ``deploying`` brings the contracts
there, ``registering`` a project, and ``deployed_terms`` compares the contracts that stand with what is asked for.
``lists``, ``drawing``, ``heatmap``, ``settle_preview`` and ``checks`` show what was found; ``audit_file`` reads what
was exported. ``service`` is for commands that stay, ``alone`` for what two must not do at once. ``demo`` and ``bench``
are rooms of their own.
"""
