"""Helpers for the process, its files and its streams; independent of training."""
