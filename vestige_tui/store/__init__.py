"""Stores: one service over SQLite files and PostgreSQL servers."""
