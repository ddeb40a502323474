-- What each schema version of a Vestige server adds to its SQLite file: tables, columns, defaults, text index, indexes.
-- "-- N --" is a version, "-- N phase 1 --" one that stands in its place on the other line of files.

-- 1 --
CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL);
INSERT INTO schema_version VALUES (0, datetime('now'));
CREATE TABLE knowledge_nodes (
    id TEXT PRIMARY KEY,
    content TEXT NOT NULL,
    node_type TEXT NOT NULL DEFAULT 'fact',
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    last_accessed TEXT NOT NULL,
    stability REAL DEFAULT 1.0,
    difficulty REAL DEFAULT 5.0,
    reps INTEGER DEFAULT 0,
    lapses INTEGER DEFAULT 0,
    learning_state TEXT DEFAULT 'new',
    storage_strength REAL DEFAULT 1.0,
    retrieval_strength REAL DEFAULT 1.0,
    retention_strength REAL DEFAULT 1.0,
    sentiment_score REAL DEFAULT 0.0,
    sentiment_magnitude REAL DEFAULT 0.0,
    next_review TEXT,
    scheduled_days INTEGER DEFAULT 0,
    source TEXT,
    tags TEXT DEFAULT '[]',
    has_embedding INTEGER DEFAULT 0,
    embedding_model TEXT
);
CREATE INDEX idx_nodes_retention ON knowledge_nodes (retention_strength);
CREATE INDEX idx_nodes_next_review ON knowledge_nodes (next_review);
CREATE INDEX idx_nodes_created ON knowledge_nodes (created_at);
CREATE INDEX idx_nodes_has_embedding ON knowledge_nodes (has_embedding);
CREATE TABLE node_embeddings (
    node_id TEXT PRIMARY KEY REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    embedding BLOB NOT NULL,
    dimensions INTEGER NOT NULL DEFAULT 768,
    model TEXT NOT NULL DEFAULT 'BAAI/bge-base-en-v1.5',
    created_at TEXT NOT NULL
);
CREATE VIRTUAL TABLE knowledge_fts USING fts5(id, content, tags, content='knowledge_nodes', content_rowid='rowid');
CREATE TRIGGER knowledge_ai AFTER INSERT ON knowledge_nodes BEGIN
    INSERT INTO knowledge_fts (rowid, id, content, tags) VALUES (NEW.rowid, NEW.id, NEW.content, NEW.tags);
END;
CREATE TRIGGER knowledge_ad AFTER DELETE ON knowledge_nodes BEGIN
    INSERT INTO knowledge_fts (knowledge_fts, rowid, id, content, tags)
    VALUES ('delete', OLD.rowid, OLD.id, OLD.content, OLD.tags);
END;
CREATE TRIGGER knowledge_au AFTER UPDATE ON knowledge_nodes BEGIN
    INSERT INTO knowledge_fts (knowledge_fts, rowid, id, content, tags)
    VALUES ('delete', OLD.rowid, OLD.id, OLD.content, OLD.tags);
    INSERT INTO knowledge_fts (rowid, id, content, tags) VALUES (NEW.rowid, NEW.id, NEW.content, NEW.tags);
END;
CREATE TABLE fsrs_cards (
    memory_id TEXT PRIMARY KEY, difficulty REAL DEFAULT 5.0, stability REAL DEFAULT 1.0, state TEXT DEFAULT 'new',
    reps INTEGER DEFAULT 0, lapses INTEGER DEFAULT 0, last_review TEXT, due_date TEXT, elapsed_days INTEGER DEFAULT 0,
    scheduled_days INTEGER DEFAULT 0
);

-- 2 --
ALTER TABLE knowledge_nodes ADD COLUMN valid_from TEXT;
ALTER TABLE knowledge_nodes ADD COLUMN valid_until TEXT;

-- 3 --
CREATE TABLE memory_states (
    memory_id TEXT PRIMARY KEY REFERENCES knowledge_nodes (id) ON DELETE CASCADE, state TEXT DEFAULT 'active',
    last_access TEXT, access_count INTEGER DEFAULT 1, state_entered_at TEXT, suppression_until TEXT,
    suppressed_by TEXT DEFAULT '[]'
);
CREATE TABLE fsrs_config (key TEXT PRIMARY KEY, value REAL NOT NULL, updated_at TEXT NOT NULL);
INSERT INTO fsrs_config VALUES ('w20', 0.1542, datetime('now'));

-- 4 --
ALTER TABLE knowledge_nodes ADD COLUMN scope TEXT DEFAULT 'user';
ALTER TABLE knowledge_nodes ADD COLUMN memory_system TEXT DEFAULT 'semantic';
ALTER TABLE node_embeddings ADD COLUMN version INTEGER DEFAULT 1;
CREATE TABLE knowledge_edges (id TEXT PRIMARY KEY, source_id TEXT NOT NULL, target_id TEXT NOT NULL, edge_type TEXT NOT NULL);
CREATE TABLE compressed_memories (id TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE memory_connections (
    source_id TEXT NOT NULL REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    target_id TEXT NOT NULL REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    strength REAL NOT NULL, link_type TEXT NOT NULL, created_at TEXT NOT NULL, last_activated TEXT NOT NULL,
    activation_count INTEGER DEFAULT 0,
    PRIMARY KEY (source_id, target_id)
);
CREATE INDEX idx_memory_connections_target ON memory_connections (target_id);

-- 5 --
ALTER TABLE knowledge_nodes ADD COLUMN activation REAL;
CREATE TABLE sessions (id TEXT PRIMARY KEY, started_at TEXT NOT NULL);

-- 6 --
CREATE TABLE intentions (
    id TEXT PRIMARY KEY, content TEXT NOT NULL, trigger_type TEXT NOT NULL, trigger_data TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT 2, status TEXT NOT NULL DEFAULT 'active', created_at TEXT NOT NULL
);

-- 7 --
DROP TABLE knowledge_fts;
CREATE VIRTUAL TABLE knowledge_fts USING fts5(
    id, content, tags, content='knowledge_nodes', content_rowid='rowid', tokenize='porter ascii'
);
INSERT INTO knowledge_fts (knowledge_fts) VALUES ('rebuild');

-- 8 --
ALTER TABLE knowledge_nodes ADD COLUMN waking_tag BOOLEAN DEFAULT FALSE;
ALTER TABLE knowledge_nodes ADD COLUMN waking_tag_at TEXT;
ALTER TABLE knowledge_nodes ADD COLUMN utility_score REAL DEFAULT 0.0;
ALTER TABLE knowledge_nodes ADD COLUMN times_retrieved INTEGER DEFAULT 0;
ALTER TABLE knowledge_nodes ADD COLUMN times_useful INTEGER DEFAULT 0;

-- 9 --
ALTER TABLE knowledge_nodes ADD COLUMN emotional_valence REAL DEFAULT 0.0;
ALTER TABLE knowledge_nodes ADD COLUMN flashbulb BOOLEAN DEFAULT FALSE;
ALTER TABLE knowledge_nodes ADD COLUMN temporal_level TEXT;
ALTER TABLE knowledge_nodes ADD COLUMN summary_parent_id TEXT;

-- 10 --
ALTER TABLE knowledge_nodes ADD COLUMN suppression_count INTEGER DEFAULT 0;
ALTER TABLE knowledge_nodes ADD COLUMN suppressed_at TEXT;

-- 11 --
DROP TABLE knowledge_edges;
DROP TABLE compressed_memories;

-- 12 --
CREATE TABLE sync_tombstones (
    table_name TEXT NOT NULL, row_id TEXT NOT NULL, deleted_at TEXT NOT NULL, reason TEXT, PRIMARY KEY (table_name, row_id)
);

-- 13 --
CREATE TABLE deletion_tombstones (memory_id TEXT PRIMARY KEY, deleted_at TEXT NOT NULL, reason TEXT, node_type TEXT, tags TEXT);

-- 14 --
ALTER TABLE knowledge_nodes ADD COLUMN protected INTEGER NOT NULL DEFAULT 0;
ALTER TABLE knowledge_nodes ADD COLUMN superseded_by TEXT;
CREATE TABLE merge_plans (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'pending', created_at TEXT NOT NULL, applied_at TEXT,
    survivor_id TEXT, member_ids TEXT NOT NULL DEFAULT '[]', confidence REAL, classification TEXT, payload TEXT
);
CREATE TABLE merge_operations (
    id TEXT PRIMARY KEY, plan_id TEXT, op_type TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'applied', created_at TEXT NOT NULL
);

-- 14 phase 1 --
ALTER TABLE knowledge_nodes ADD COLUMN domains TEXT NOT NULL DEFAULT '[]';
ALTER TABLE knowledge_nodes ADD COLUMN domain_scores TEXT NOT NULL DEFAULT '{}';
CREATE TABLE embedding_model (
    id INTEGER PRIMARY KEY CHECK (id = 1), name TEXT NOT NULL, dimension INTEGER NOT NULL, hash TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE TABLE domains (
    id TEXT PRIMARY KEY, label TEXT NOT NULL, centroid BLOB, top_terms TEXT NOT NULL DEFAULT '[]',
    memory_count INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL
);
CREATE TABLE review_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    memory_id TEXT NOT NULL REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    timestamp TEXT NOT NULL, rating INTEGER NOT NULL, prior_state TEXT NOT NULL, new_state TEXT NOT NULL
);
CREATE INDEX idx_review_events_memory ON review_events (memory_id);
CREATE INDEX idx_review_events_ts ON review_events (timestamp);

-- 15 --
CREATE TABLE composition_events (id TEXT PRIMARY KEY, created_at TEXT NOT NULL);
CREATE TABLE composition_members (event_id TEXT NOT NULL, node_id TEXT NOT NULL, PRIMARY KEY (event_id, node_id));
CREATE TABLE composition_outcomes (id TEXT PRIMARY KEY, event_id TEXT NOT NULL);

-- 16 --
ALTER TABLE knowledge_nodes ADD COLUMN domains TEXT NOT NULL DEFAULT '[]';
ALTER TABLE knowledge_nodes ADD COLUMN domain_scores TEXT NOT NULL DEFAULT '{}';
CREATE TABLE embedding_model (
    id INTEGER PRIMARY KEY CHECK (id = 1), name TEXT NOT NULL, dimension INTEGER NOT NULL, hash TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE TABLE domains (
    id TEXT PRIMARY KEY, label TEXT NOT NULL, centroid BLOB, top_terms TEXT NOT NULL DEFAULT '[]',
    memory_count INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL
);

-- 17 --
ALTER TABLE knowledge_nodes ADD COLUMN source_system TEXT;
ALTER TABLE knowledge_nodes ADD COLUMN source_id TEXT;
ALTER TABLE knowledge_nodes ADD COLUMN source_url TEXT;
ALTER TABLE knowledge_nodes ADD COLUMN source_updated_at TEXT;
ALTER TABLE knowledge_nodes ADD COLUMN content_hash TEXT;
ALTER TABLE knowledge_nodes ADD COLUMN synced_at TEXT;
ALTER TABLE knowledge_nodes ADD COLUMN source_project TEXT;
ALTER TABLE knowledge_nodes ADD COLUMN source_type TEXT;
ALTER TABLE knowledge_nodes ADD COLUMN source_author TEXT;
CREATE TABLE connector_cursors (connector TEXT PRIMARY KEY, cursor TEXT, updated_at TEXT NOT NULL);

-- 18 --
CREATE TABLE agent_runs (id TEXT PRIMARY KEY, started_at TEXT NOT NULL);
CREATE TABLE agent_traces (
    id TEXT PRIMARY KEY, run_id TEXT NOT NULL, seq INTEGER NOT NULL, event_type TEXT NOT NULL, tool TEXT, payload TEXT NOT NULL,
    at INTEGER NOT NULL, created_at TEXT NOT NULL
);
CREATE TABLE memory_receipts (id TEXT PRIMARY KEY, created_at TEXT NOT NULL);
CREATE TABLE memory_prs (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'pending', title TEXT NOT NULL, subject_id TEXT,
    run_id TEXT, diff TEXT NOT NULL, signals TEXT NOT NULL, decision TEXT, created_at TEXT NOT NULL, decided_at TEXT
);

-- 19 --
CREATE UNIQUE INDEX idx_nodes_source ON knowledge_nodes (source_system, COALESCE(source_project, ''), source_id)
    WHERE source_system IS NOT NULL;

-- 21 --
CREATE TABLE synaptic_tags (id TEXT PRIMARY KEY, node_id TEXT NOT NULL) STRICT;

-- 23 --
CREATE TABLE retrieval_replay_capsules (id TEXT PRIMARY KEY, created_at TEXT NOT NULL);

-- 24 --
CREATE TABLE receipt_envelopes (id TEXT PRIMARY KEY, envelope TEXT NOT NULL);

-- 26 --
ALTER TABLE receipt_envelopes ADD COLUMN projection_json TEXT;

-- 28 --
CREATE TABLE embedding_profiles (
    profile_id TEXT PRIMARY KEY, model_id TEXT NOT NULL, immutable_model_revision TEXT,
    verified_model_artifact_hashes TEXT NOT NULL DEFAULT '[]', runtime_backend TEXT NOT NULL,
    embedding_dimension INTEGER NOT NULL CHECK (embedding_dimension > 0), normalization_method TEXT NOT NULL,
    document_encoding_template TEXT NOT NULL, query_encoding_template TEXT NOT NULL,
    maximum_token_limit INTEGER NOT NULL CHECK (maximum_token_limit > 0), chunking_strategy TEXT NOT NULL,
    status TEXT NOT NULL, installed_at TEXT, last_verified_at TEXT, runtime_metadata TEXT,
    verification TEXT NOT NULL DEFAULT '{}', evaluation TEXT, failure TEXT,
    created_at TEXT NOT NULL DEFAULT (datetime('now')), updated_at TEXT NOT NULL DEFAULT (datetime('now'))
);
CREATE TABLE embedding_profile_state (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1), active_profile_id TEXT, previous_profile_id TEXT, activated_at TEXT,
    updated_at TEXT NOT NULL
);
CREATE TABLE embedding_profile_vectors (
    profile_id TEXT NOT NULL, node_id TEXT NOT NULL REFERENCES knowledge_nodes (id) ON DELETE CASCADE, embedding BLOB NOT NULL,
    dimensions INTEGER NOT NULL, model TEXT NOT NULL, created_at TEXT NOT NULL,
    PRIMARY KEY (profile_id, node_id)
);

-- 30 --
DROP TABLE knowledge_fts;
CREATE VIRTUAL TABLE knowledge_fts USING fts5(
    id, content, tags, content='knowledge_nodes', content_rowid='rowid', tokenize='porter unicode61 remove_diacritics 2'
);
INSERT INTO knowledge_fts (knowledge_fts) VALUES ('rebuild');

-- 31 --
CREATE TABLE code_memory_anchors (id TEXT PRIMARY KEY, node_id TEXT NOT NULL, file_path TEXT NOT NULL, symbol TEXT);

-- 32 --
CREATE TABLE vector_journal (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, profile_id TEXT NOT NULL, node_id TEXT NOT NULL, op TEXT NOT NULL, at TEXT NOT NULL
);

-- 33 --
CREATE TABLE failure_feedback (id TEXT PRIMARY KEY, created_at TEXT NOT NULL);

-- 34 --
CREATE TABLE suppression_operations (id TEXT PRIMARY KEY, created_at TEXT NOT NULL);

-- 35 --
CREATE TABLE suppression_cascade_effects (id TEXT PRIMARY KEY, operation_id TEXT NOT NULL);

-- 40 --
CREATE TABLE walk_receipts (
    receipt_id TEXT PRIMARY KEY, digest TEXT NOT NULL, canonical_json TEXT NOT NULL, engine_version TEXT NOT NULL,
    created_at TEXT NOT NULL
);
