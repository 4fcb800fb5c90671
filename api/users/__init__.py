"""Users and their permissions, and who oneself is."""
