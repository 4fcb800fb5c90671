"""The verifier of bundles as one page, for a browser; it asks nobody for anything."""
