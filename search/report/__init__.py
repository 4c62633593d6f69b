"""A run's store to one HTML page that people read; nothing here trains or changes a run."""
