"""The formats of a report: Markdown for a comment, an HTML page, text for a terminal, the schema of its JSON."""
