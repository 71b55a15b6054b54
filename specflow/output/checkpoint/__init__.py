"""Checkpoints: written whole or not at all, verified by digests."""
