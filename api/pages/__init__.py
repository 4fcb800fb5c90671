"""The pages: rendered here, in English and Chinese, readable without a script and with nothing from elsewhere.

``texts/`` holds every word, ``templates/`` none; ``static/`` is what a browser asks for, ``vendor/`` in it
what others wrote. A page asks the same functions as the API (``api/<resource>/queries.py``), so that it cannot
say something else.
"""
