"""Helpers of the process itself, which know nothing of training."""
