"""Trades to money: import, plan, submit, confirm.

``trades`` reads trade files; ``words`` packs trades as the contract reads them; ``batches`` plans and
submits settlement batches; ``confirm`` holds what the mirror calls when the chain has spoken;
``escrow`` moves money into and out of the contract.
"""
