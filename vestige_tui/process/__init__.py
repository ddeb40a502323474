"""Processes: a program run detached, or as another user."""
