"""A sweep as one HTML page, which needs no network: inline SVG, and a little script."""
