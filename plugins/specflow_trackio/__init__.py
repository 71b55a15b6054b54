"""Tracker `trackio`: runs of specflow in a local database, without an account."""
