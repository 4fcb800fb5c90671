"""The certificate of a retirement: what the chain says of it, as JSON and as a PDF that is the same at every run.

``facts`` are what it says, ``pdf`` is the page, ``printing`` fits texts of others into it, with the ``fonts`` beside.
"""
