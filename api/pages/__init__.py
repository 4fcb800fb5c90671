"""The pages: rendered here, in English and Chinese, readable without a script and with nothing from elsewhere.

``texts`` holds every word (``words``; ``sentences`` are what the ledger itself says), ``templates`` none; ``static`` is
what a browser asks for (``assets``), the folder vendor in it what others wrote. A page asks the same functions as the
API (the ``queries`` of each resource), so that it cannot say something else.

- **Pages.** ``endpoints`` has home, lists and search, ``credits``, ``retirements``,
  ``chain`` and ``places`` the pages of one thing each; ``days`` has the readings of a day. ``signing``, ``account``
  and ``alerts`` are for those who have an account.
- **Pictures.** ``provenance``, ``payments``, ``figures`` and ``readings``, laid out by ``pictures``.
- **How a page is made.** ``rendering`` from a template in the reader's ``language``, with ``formats`` for numbers and
  names; ``forms`` are what a browser sends, and ``problems`` what went wrong.
"""
