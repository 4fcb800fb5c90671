"""Settlement batches: their trades, net positions, and who paid whom."""
