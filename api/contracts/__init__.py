"""Our contracts, and where they are."""
