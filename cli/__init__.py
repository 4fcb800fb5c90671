"""The command line over all of the product."""
