"""Backends: SQLite files, PostgreSQL servers, and the embedded server; each translates its driver's exceptions."""
