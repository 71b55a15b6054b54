"""Results of a sweep, read from its directory: table, best trial, report."""
