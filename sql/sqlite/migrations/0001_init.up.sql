-- Memories, their vectors, schedules, links and reviews; users and groups; the model they belong to.
CREATE TABLE embedding_model (
    id         INTEGER PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    name       TEXT NOT NULL,
    dimension  INTEGER NOT NULL CHECK (dimension > 0),
    hash       TEXT NOT NULL,
    created_at TEXT NOT NULL
);

CREATE TABLE domains (
    id           TEXT PRIMARY KEY,
    label        TEXT NOT NULL,
    centroid     BLOB,
    top_terms    TEXT NOT NULL DEFAULT '[]',
    memory_count INTEGER NOT NULL DEFAULT 0,
    created_at   TEXT NOT NULL,
    metadata     TEXT NOT NULL DEFAULT '{}'
);

CREATE TABLE users (
    id           TEXT PRIMARY KEY,
    handle       TEXT NOT NULL UNIQUE,
    display_name TEXT,
    created_at   TEXT NOT NULL,
    metadata     TEXT NOT NULL DEFAULT '{}'
);

CREATE TABLE groups (
    id           TEXT PRIMARY KEY,
    handle       TEXT NOT NULL UNIQUE,
    display_name TEXT,
    created_at   TEXT NOT NULL,
    metadata     TEXT NOT NULL DEFAULT '{}'
);

CREATE TABLE group_memberships (
    user_id   TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    group_id  TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    role      TEXT NOT NULL DEFAULT 'member' CHECK (role IN ('member', 'admin')),
    joined_at TEXT NOT NULL,
    PRIMARY KEY (user_id, group_id)
);

-- seq is the rowid under a name: the text index points at it, and only a named rowid survives VACUUM.
CREATE TABLE knowledge_nodes (
    seq                INTEGER PRIMARY KEY,
    id                 TEXT NOT NULL UNIQUE,
    content            TEXT NOT NULL,
    node_type          TEXT NOT NULL DEFAULT 'fact',
    tags               TEXT NOT NULL DEFAULT '[]',
    metadata           TEXT NOT NULL DEFAULT '{}',
    domains            TEXT NOT NULL DEFAULT '[]',
    domain_scores      TEXT NOT NULL DEFAULT '{}',
    codebase           TEXT,
    owner_user_id      TEXT NOT NULL DEFAULT '00000000-0000-0000-0000-000000000001' REFERENCES users (id),
    visibility         TEXT NOT NULL DEFAULT 'private' CHECK (visibility IN ('private', 'group', 'public')),
    shared_with_groups TEXT NOT NULL DEFAULT '[]',
    created_at         TEXT NOT NULL,
    updated_at         TEXT NOT NULL
);

-- seq grows with every write of a vector, so that a reader finds what is new without reading what it has.
CREATE TABLE node_embeddings (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id   TEXT NOT NULL UNIQUE REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    embedding BLOB NOT NULL
);

CREATE TABLE scheduling (
    memory_id      TEXT PRIMARY KEY REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    stability      REAL NOT NULL DEFAULT 0.0,
    difficulty     REAL NOT NULL DEFAULT 0.0,
    retrievability REAL NOT NULL DEFAULT 1.0,
    last_review    TEXT,
    next_review    TEXT,
    reps           INTEGER NOT NULL DEFAULT 0,
    lapses         INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE edges (
    source_id  TEXT NOT NULL REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    target_id  TEXT NOT NULL REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    edge_type  TEXT NOT NULL DEFAULT 'related',
    weight     REAL NOT NULL DEFAULT 1.0,
    created_at TEXT NOT NULL,
    PRIMARY KEY (source_id, target_id, edge_type)
);

CREATE TABLE review_events (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    memory_id   TEXT NOT NULL REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    timestamp   TEXT NOT NULL,
    rating      INTEGER NOT NULL,
    prior_state TEXT NOT NULL,
    new_state   TEXT NOT NULL,
    undoes      INTEGER REFERENCES review_events (id) ON DELETE CASCADE
);

CREATE INDEX idx_knowledge_nodes_node_type ON knowledge_nodes (node_type);
CREATE INDEX idx_knowledge_nodes_created ON knowledge_nodes (created_at, id);
CREATE INDEX idx_knowledge_nodes_updated ON knowledge_nodes (updated_at, id);
CREATE INDEX idx_knowledge_nodes_owner ON knowledge_nodes (owner_user_id);
CREATE INDEX idx_knowledge_nodes_codebase ON knowledge_nodes (codebase) WHERE codebase IS NOT NULL;
CREATE INDEX idx_scheduling_next_review ON scheduling (next_review, memory_id);
CREATE INDEX idx_scheduling_last_review ON scheduling (last_review);
CREATE INDEX idx_edges_target ON edges (target_id);
CREATE INDEX idx_edges_type ON edges (edge_type);
CREATE INDEX idx_review_events_memory ON review_events (memory_id, id);
CREATE INDEX idx_review_events_ts ON review_events (timestamp);
CREATE INDEX idx_review_events_undoes ON review_events (undoes) WHERE undoes IS NOT NULL;

-- Moves with what a person would call an edit, and leaves alone a time that the writer has set.
CREATE TRIGGER trg_knowledge_nodes_updated_at AFTER UPDATE OF content, node_type, tags, metadata, codebase ON knowledge_nodes
WHEN OLD.updated_at = NEW.updated_at AND (
    OLD.content IS NOT NEW.content OR OLD.node_type IS NOT NEW.node_type OR OLD.tags IS NOT NEW.tags
    OR OLD.metadata IS NOT NEW.metadata OR OLD.codebase IS NOT NEW.codebase)
BEGIN
    UPDATE knowledge_nodes SET updated_at = strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now') WHERE seq = NEW.seq;
END;

INSERT INTO users (id, handle, display_name, created_at)
VALUES ('00000000-0000-0000-0000-000000000001', 'local', 'Local User', strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now'));
