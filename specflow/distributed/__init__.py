"""Several processes: how they start, meet, communicate and fail."""
