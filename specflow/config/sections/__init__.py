"""The sections of an experiment as frozen, validated types."""
