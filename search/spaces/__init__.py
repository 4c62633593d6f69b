"""What may be born, how it may change, and what is refused before it is trained."""
