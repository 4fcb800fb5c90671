"""How the last comparison of books and chain ended."""
