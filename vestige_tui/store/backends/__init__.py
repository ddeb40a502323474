"""Backends: SQLite files, PostgreSQL servers, and the embedded server; each stops its driver's exceptions."""
