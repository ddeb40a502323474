DROP INDEX IF EXISTS idx_node_embeddings_hnsw;
