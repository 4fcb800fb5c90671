"""Sites: parks with their devices, projects, and what each month brought.

``months`` is what each month brought; ``periods`` are legal hours, days and months, which other rooms use, too.
"""
