"""API keys, by which programs act for a user."""
