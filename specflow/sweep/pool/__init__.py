"""Trials run by worker processes."""
