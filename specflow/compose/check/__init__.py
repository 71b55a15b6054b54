"""Checks a merged config and reports every diagnostic at once."""
