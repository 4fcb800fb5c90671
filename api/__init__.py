"""The HTTP interface: reads only, from the mirror."""
