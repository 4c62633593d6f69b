"""optc: a language for deep-learning optimizers, its compiler, and a search that breeds new ones."""

__version__ = "0.1.0"
