"""Metrics, progress, tables and predictions as users see them."""
