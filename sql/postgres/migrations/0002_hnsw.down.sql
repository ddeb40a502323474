DROP INDEX IF EXISTS {schema}.idx_node_embeddings_hnsw;
