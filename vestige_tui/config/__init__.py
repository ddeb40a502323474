"""Settings from ``vestige.toml``, and the directories of this program.

The file is shared with the memory server: only the tables storage, embeddings, review, keys, filters and ui are read.
Every error is a ``ConfigError`` of one sentence with file, key and, if known, line, and never contains a password.
"""
