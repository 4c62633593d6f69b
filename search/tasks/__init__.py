"""Data sets and the networks that are trained on them."""
