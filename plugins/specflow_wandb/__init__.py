"""Tracker `wandb`: runs of specflow in Weights & Biases, each of them once."""
