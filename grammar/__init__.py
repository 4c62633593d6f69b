"""The language as data: its syntax, its standard declarations and its zoo of rules. No code lives here."""
