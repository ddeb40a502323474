-- What a job needs to be taken up anywhere: its options, and with which attempt the work began that it goes on with.
ALTER TABLE job_runs ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
ALTER TABLE job_runs ADD COLUMN began_with INTEGER NOT NULL DEFAULT 1;
UPDATE job_runs SET began_with = attempt;

-- A comparison names rows that differ or are on one side only; a re-embedding, memories that could not be encoded.
CREATE TABLE job_findings_wider (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    delegation_id TEXT NOT NULL REFERENCES delegations (delegation_id) ON DELETE CASCADE,
    subject       TEXT NOT NULL,
    outcome       TEXT NOT NULL CHECK (outcome IN ('repaired', 'failed', 'left_behind', 'zero_vector', 'differs',
                  'only_source', 'only_target', 'updated', 'deleted')),
    source_key    TEXT NOT NULL,
    reason        TEXT NOT NULL
);
INSERT INTO job_findings_wider (id, delegation_id, subject, outcome, source_key, reason)
SELECT id, delegation_id, subject, outcome, source_key, reason FROM job_findings;
DROP TABLE job_findings;
ALTER TABLE job_findings_wider RENAME TO job_findings;
CREATE INDEX idx_job_findings_job ON job_findings (delegation_id, id);

-- The vectors of a second model: those that a re-embedding makes, and after it those of the model before, to go back to.
CREATE TABLE spare_embeddings (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id   TEXT NOT NULL UNIQUE REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    embedding BLOB NOT NULL
);

CREATE TABLE spare_model (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    name       TEXT NOT NULL,
    dimension  INTEGER NOT NULL CHECK (dimension > 0),
    hash       TEXT NOT NULL,
    created_at TEXT NOT NULL,
    role       TEXT NOT NULL CHECK (role IN ('building', 'kept'))
);

-- A spare vector is of the text that a memory has, or it is not there.
CREATE TRIGGER trg_knowledge_nodes_spare AFTER UPDATE OF content ON knowledge_nodes
WHEN OLD.content IS NOT NEW.content
BEGIN
    DELETE FROM spare_embeddings WHERE node_id = NEW.id;
END;

-- The models that the store belonged to, one line a change.
CREATE TABLE model_changes (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    kind           TEXT NOT NULL CHECK (kind IN ('reembed', 'in_place', 'rollback')),
    from_name      TEXT NOT NULL,
    from_dimension INTEGER NOT NULL,
    from_hash      TEXT NOT NULL,
    to_name        TEXT NOT NULL,
    to_dimension   INTEGER NOT NULL,
    to_hash        TEXT NOT NULL,
    memories       INTEGER NOT NULL,
    seconds        REAL NOT NULL,
    changed_at     TEXT NOT NULL,
    delegation_id  TEXT
);
