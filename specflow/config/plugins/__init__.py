"""Components of other packages: entry points, and sections derived from signatures."""
