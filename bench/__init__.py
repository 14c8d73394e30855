"""Programs that measure the project; each has its own command."""
