"""The HTTP interface: reads of the books for anybody, and of the rest for whoever may.

A package for each resource: ``endpoints`` are its routes, ``queries`` what they ask the books (pages and command line
ask the same), ``schemas`` what they answer. ``app`` puts them together, ``description`` describes them and ``server``
serves it. Around every request lie layers, a module each: who asks (``access``, ``allowed``, ``clients``,
``connections``, ``limits``), what is refused before it is read (``absolute``, ``bodies``, ``doubled``), ``once``,
``etag``, ``cache``, and ``errors``. ``quick`` answers past them what is asked most (``quick_parts``). ``context``,
``pagination``, ``finality``, ``lately`` and ``texts`` are what handlers share; ``pages`` and ``exports`` are other
forms of the same answers. ``yardstick`` is for benchmarks alone.
"""
