"""Answers that are kept until the books change: in this process, and in a Redis that several share.

An answer is kept under the *stamp* of the books it was made from (``stamps``): whoever asks reads the stamp
first, and an answer of another stamp is none. So there is nothing to expire and nobody to tell.

``layer`` answers from what is kept; ``answers`` is the shelf of this process, ``shared`` the Redis.
"""
