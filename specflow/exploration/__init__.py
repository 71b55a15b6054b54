"""What a model is fed: rows, statistics and checks of its data, and synthetic rows."""
