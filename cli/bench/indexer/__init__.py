"""How fast the mirror is, beside what anybody would use instead.

``story`` invents what happens on the chain, ``chain`` makes it happen on an Anvil and keeps it, the rest
measures: ours, the peers' and the limit, on that one chain.
"""
