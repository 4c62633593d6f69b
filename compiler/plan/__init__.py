"""Rule → plan: host from tensors, passes, regions. Prints nothing."""
