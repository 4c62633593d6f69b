"""Breeds rules: vary, gate, train, select, report."""
