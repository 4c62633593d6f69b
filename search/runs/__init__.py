"""A run's folder: configuration, stores, what is shown and exported."""
