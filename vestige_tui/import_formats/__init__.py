"""Formats of memories that people bring along: each is read into lines of this program's own export format."""
