"""How the books stand, and whether the service is alive and ready."""
