"""One box for everything that has a name: typed results, exact ones first."""
