"""Pages in one file, which load nothing: HTML, inline SVG, and a little script."""
