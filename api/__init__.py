"""The HTTP interface: reads of the books for anybody, and of the rest for whoever may."""
