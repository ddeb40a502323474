-- Staged: waits until a registered model has given the vectors their width. {vector} is vector or halfvec.
-- A graph that fits into memory while it is built is built several times faster.
SET LOCAL maintenance_work_mem = '256MB';
CREATE INDEX idx_node_embeddings_hnsw ON node_embeddings USING hnsw (embedding {vector}_cosine_ops)
    WITH (m = 16, ef_construction = 64);
