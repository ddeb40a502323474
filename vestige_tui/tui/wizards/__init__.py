"""Wizards: dialogs of several steps that start a copy, a comparison or a re-embedding."""
