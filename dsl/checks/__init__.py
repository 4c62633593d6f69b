"""Parse tree → rule, or everything that is wrong with it; and warnings, and safe fixes."""
