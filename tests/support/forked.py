"""Processes that begin with everything imported: children of the standard library's fork server.

To start Python and import the program takes a second of a processor; a fork takes some milliseconds. A
child shares nothing with the tests but what it is given, and can be killed.
"""

import multiprocessing

FORKED = multiprocessing.get_context("forkserver")
"""Where such processes come from: ``FORKED.Process(target=..., args=...)``; a target stands in a module."""
FORKED.set_forkserver_preload(["tests.support.imported"])
