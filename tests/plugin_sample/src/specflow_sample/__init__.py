"""Sample plugin of specflow: a component of each kind."""
