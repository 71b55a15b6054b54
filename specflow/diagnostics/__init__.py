"""Diagnostics: errors and warnings as data, and how they are rendered."""
