"""Reads config files and overrides."""
