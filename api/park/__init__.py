"""Records of a park: one list and one item for each kind, alerts that are handled, the data of devices.

``newest`` is what devices reported last, ``alerts`` what of them is open, as the pages and the figures have it.
"""
