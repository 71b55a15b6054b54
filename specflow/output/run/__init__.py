"""The run directory and what is recorded in it."""
