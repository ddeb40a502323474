"""Presenters: one subject as text or JSON, for console and shell; independent of the terminal."""
