"""The package is installed by `tests/plugins`, and no test of its own."""

collect_ignore = ["src"]
