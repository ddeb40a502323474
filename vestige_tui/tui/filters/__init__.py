"""Filters as chips: the bar, the picker and saved filters."""
