"""How the books stand, and whether the service is alive and ready.

``mirror`` says whether somebody mirrors the chain, ``totals`` are sums that are counted when they may have changed,
``backups`` are looked at beside the requests, and ``readiness`` is asked once for all who want to know it.
"""
