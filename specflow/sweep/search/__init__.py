"""Searches for hyperparameters: Optuna proposes, a pool of workers runs."""
