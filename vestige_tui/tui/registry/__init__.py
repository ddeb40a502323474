"""The Registry place: the embedding model of the store, and other models."""
