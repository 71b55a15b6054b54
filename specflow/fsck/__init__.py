"""Verification of run directories, and repair of what is incomplete; loads no JAX."""
