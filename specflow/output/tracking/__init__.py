"""Trackers: MLflow and the like, fed by a thread from the rows of `metrics.jsonl`."""
