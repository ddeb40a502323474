-- What a person changed, with enough before it to take it back; and the console's own marks on reviews.
CREATE TABLE journal (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),
    actor     TEXT NOT NULL,
    verb      TEXT NOT NULL,
    before    TEXT NOT NULL,
    after     TEXT NOT NULL,
    undone_by INTEGER REFERENCES journal (id)
);

CREATE TABLE review_marks (
    memory_id    TEXT PRIMARY KEY REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    suspended    INTEGER NOT NULL DEFAULT 0,
    buried_until TEXT
);
