"""A model, data, a loss, a metric and more for specflow, from outside of it."""
