"""Widgets that two or more places use."""
