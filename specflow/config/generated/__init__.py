"""Sections written by `make generate` from signatures; do not edit."""
