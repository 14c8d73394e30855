"""The formats of the matrix of `./homelab versions`: text, Markdown and one HTML page; JSON is its data."""
