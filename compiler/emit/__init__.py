"""Plan → the text of one Python file."""
