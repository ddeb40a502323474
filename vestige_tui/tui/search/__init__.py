"""The Search place."""
