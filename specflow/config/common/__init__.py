"""Base classes that sections share."""
