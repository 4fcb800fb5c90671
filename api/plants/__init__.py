"""Virtual power plants, as settlement sees them."""
