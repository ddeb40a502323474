-- Staged: waits until a registered model has given the vectors their width. {vector} is vector or halfvec.
CREATE INDEX idx_node_embeddings_hnsw ON node_embeddings USING hnsw (embedding {vector}_cosine_ops)
    WITH (m = 16, ef_construction = 64);
