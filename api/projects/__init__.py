"""Projects: activities that are credited, their issuances, and what each month brought."""
