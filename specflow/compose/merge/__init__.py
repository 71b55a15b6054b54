"""Merges layers of a config and records the origin of each value."""
