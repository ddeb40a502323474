-- Named queries of domains; ../sqlite/domains.sql has the same names. d is a domain with a row of its own.

-- list_domains --
-- Domains with a row, without their centroids.
SELECT d.id, d.label, d.top_terms, d.memory_count, d.created_at, d.metadata, vector_dims(d.centroid) AS width
FROM domains d ORDER BY d.id

-- count_domain_members --
-- Names of domains on memories, with the numbers of their memories and of the replaced ones among them.
SELECT j.value AS name, count(*) AS n, count(*) FILTER (WHERE m.superseded_by IS NOT NULL) AS replaced
FROM knowledge_nodes m, unnest(m.domains) AS j (value) GROUP BY j.value

-- get_domains --
-- Domains by name, with their centroids.
SELECT d.id, d.label, d.centroid, d.top_terms, d.memory_count, d.created_at, d.metadata
FROM domains d WHERE d.id = ANY (%(names)s::text[]) ORDER BY d.id

-- lock_domains --
-- Lock those of the domains that have a row until the transaction ends.
SELECT d.id FROM domains d WHERE d.id = ANY (%(names)s::text[]) ORDER BY d.id FOR UPDATE

-- put_domain --
-- Upsert the row of a domain.
INSERT INTO domains (id, label, centroid, top_terms, memory_count, created_at, metadata)
VALUES (%(id)s, %(label)s, %(centroid)s::vector, %(top_terms)s, %(memory_count)s, %(created_at)s, %(metadata)s)
ON CONFLICT (id) DO UPDATE SET label = excluded.label, centroid = excluded.centroid, top_terms = excluded.top_terms,
    memory_count = excluded.memory_count, created_at = excluded.created_at, metadata = excluded.metadata

-- delete_domains --
-- Delete the rows of domains; the names on memories stay.
DELETE FROM domains WHERE id = ANY (%(names)s::text[])

-- update_domains --
-- Update the domains of a memory, and their scores unless those are NULL. The edit time stays.
UPDATE knowledge_nodes SET domains = %(domains)s, domain_scores = coalesce(%(domain_scores)s::jsonb, domain_scores)
WHERE id = %(id)s::uuid

-- rank_domains --
-- Domains by the cosine of their centroids and the vector of a memory; NULL for a centroid without a direction.
SELECT d.id, d.label, nullif(1 - (d.centroid <=> e.embedding::vector), 'NaN'::float8) AS similarity
FROM node_embeddings e JOIN domains d ON vector_dims(d.centroid) = vector_dims(e.embedding::vector)
WHERE e.node_id = %(id)s::uuid ORDER BY similarity DESC NULLS LAST, d.id
