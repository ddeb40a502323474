"""Measurements of this program, each beside its raw alternative in the same run; ``python -m benchmarks``."""
