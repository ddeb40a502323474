"""Presenters: one subject as text or JSON, for console and shell alike. Know no terminal."""
