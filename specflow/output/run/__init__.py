"""The run directory and its records."""
