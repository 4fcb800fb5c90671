"""Credits: runs of serials of one batch that share one status."""
