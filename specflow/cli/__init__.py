"""The `specflow` command: options, completion, and the call of one command."""
