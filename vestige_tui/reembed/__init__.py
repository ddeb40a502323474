"""Re-embedding: a store moved to another embedding model, and the way back."""
