"""The inventory: what sites emitted, by scope and method."""
