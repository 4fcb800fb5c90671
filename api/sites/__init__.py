"""Sites: parks with their devices, projects, and what each month brought."""
