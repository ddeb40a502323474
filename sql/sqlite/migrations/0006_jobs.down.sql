DROP TABLE model_changes;
DROP TRIGGER trg_knowledge_nodes_spare;
DROP TABLE spare_model;
DROP TABLE spare_embeddings;
CREATE TABLE job_findings_narrow (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    delegation_id TEXT NOT NULL REFERENCES delegations (delegation_id) ON DELETE CASCADE,
    subject       TEXT NOT NULL,
    outcome       TEXT NOT NULL CHECK (outcome IN ('repaired', 'failed', 'left_behind', 'zero_vector')),
    source_key    TEXT NOT NULL,
    reason        TEXT NOT NULL
);
INSERT INTO job_findings_narrow (id, delegation_id, subject, outcome, source_key, reason)
SELECT id, delegation_id, subject, outcome, source_key, reason FROM job_findings
WHERE outcome IN ('repaired', 'failed', 'left_behind', 'zero_vector');
DROP TABLE job_findings;
ALTER TABLE job_findings_narrow RENAME TO job_findings;
CREATE INDEX idx_job_findings_job ON job_findings (delegation_id, id);
ALTER TABLE job_runs DROP COLUMN began_with;
ALTER TABLE job_runs DROP COLUMN options;
