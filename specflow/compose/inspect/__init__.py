"""Shows, explains and compares composed experiments."""
