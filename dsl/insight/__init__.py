"""Rule → what a person wants to know of it: formulas, properties, bounds, traffic, pages about codes."""
