"""Wizards: the steps that lead to a copy, a comparison or a re-embedding."""
