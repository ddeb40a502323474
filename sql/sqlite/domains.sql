-- Named queries of domains; ../postgres/domains.sql has the same names. d is a domain with a row of its own.

-- list_domains --
-- Domains with a row, without their centroids.
SELECT d.id, d.label, d.top_terms, d.memory_count, d.created_at, d.metadata, length(d.centroid) / 4 AS width
FROM domains d ORDER BY d.id

-- count_domain_members --
-- Names of domains on memories, with the numbers of their memories and of the replaced ones among them.
SELECT j.value AS name, count(*) AS n, sum(m.superseded_by IS NOT NULL) AS replaced
FROM knowledge_nodes m, json_each(CASE WHEN json_valid(m.domains) THEN m.domains ELSE '[]' END) j GROUP BY j.value

-- get_domains --
-- Domains by name, with their centroids.
SELECT d.id, d.label, d.centroid, d.top_terms, d.memory_count, d.created_at, d.metadata
FROM domains d WHERE d.id IN (SELECT value FROM json_each(:names)) ORDER BY d.id

-- lock_domains --
-- Those of the domains that have a row; BEGIN IMMEDIATE already locks the file.
SELECT d.id FROM domains d WHERE d.id IN (SELECT value FROM json_each(:names))

-- put_domain --
-- Upsert the row of a domain.
INSERT INTO domains (id, label, centroid, top_terms, memory_count, created_at, metadata)
VALUES (:id, :label, :centroid, :top_terms, :memory_count, :created_at, :metadata)
ON CONFLICT (id) DO UPDATE SET label = excluded.label, centroid = excluded.centroid, top_terms = excluded.top_terms,
    memory_count = excluded.memory_count, created_at = excluded.created_at, metadata = excluded.metadata

-- delete_domains --
-- Delete the rows of domains; the names on memories stay.
DELETE FROM domains WHERE id IN (SELECT value FROM json_each(:names))

-- update_domains --
-- Update the domains of a memory, and their scores unless those are NULL. The edit time stays.
UPDATE knowledge_nodes SET domains = :domains, domain_scores = coalesce(:domain_scores, domain_scores) WHERE id = :id

-- list_centroids --
-- Centroids as wide as a vector.
SELECT d.id, d.label, d.centroid FROM domains d WHERE length(d.centroid) = 4 * :dimension ORDER BY d.id
