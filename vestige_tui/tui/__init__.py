"""The console: one folder a place, and what the places share."""
