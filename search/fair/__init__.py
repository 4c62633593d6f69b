"""Contests under the fair protocol: tuning, paired seeds, statistics, claims."""
