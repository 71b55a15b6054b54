"""Sweeps: many trials of one experiment, by Hydra's sweepers and launchers."""
