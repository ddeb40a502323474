"""Embedding models: their catalogue, their loading, and the processes that encode texts."""
