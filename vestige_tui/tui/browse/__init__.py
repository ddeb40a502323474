"""The Browse place."""
