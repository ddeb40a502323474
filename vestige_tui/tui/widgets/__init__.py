"""Widgets that two places or more use."""
