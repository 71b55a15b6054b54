"""Config sections written from signatures: `make generate`."""
