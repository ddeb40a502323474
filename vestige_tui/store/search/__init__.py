"""Search: query syntax, BM25 candidates, the vector index, filters, and their fusion."""
