"""The way to a node, and what it answers.

``client`` asks it by ``requests``, in ``batches`` as long as it takes, over one of the ``transports``; ``lengths`` say
of how many blocks it is asked at once, and what to think of a trouble that may be of that; ``wire`` are its answers as
they come, ``records`` as values, ``refusals`` what it means by an error, ``heads`` the blocks that it announces, and
``pool`` what waits there.
"""
