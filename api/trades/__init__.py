"""Trades of virtual power plants, and how far their settlement has come."""
