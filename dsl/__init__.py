"""Text to checked rule and back: parse, check, format, simplify, interpret. Never imports torch."""
