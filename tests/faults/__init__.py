"""Faults provoked for real on one machine, and what a person reads and loses: ``python -m tests.faults``."""
