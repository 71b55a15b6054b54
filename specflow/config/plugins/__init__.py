"""Components of other packages: entry points, and sections made from signatures."""
