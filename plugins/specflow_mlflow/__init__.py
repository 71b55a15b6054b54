"""Tracker `mlflow`: runs of specflow in MLflow, each of them once."""
