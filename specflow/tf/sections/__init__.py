"""Config sections of `specflow.tf`, declared by entry points as a plugin's are."""
