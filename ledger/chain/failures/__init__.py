"""Why a transaction failed.

``traces`` asks the node, ``reverts`` reads what a contract said, and ``explanations`` say it to people, with what to
do.
"""
