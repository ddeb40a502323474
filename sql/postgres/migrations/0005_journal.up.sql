-- What a person changed, with enough before it to take it back; and the console's own marks on reviews.
CREATE TABLE journal (
    id        bigserial PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor     text NOT NULL,
    verb      text NOT NULL,
    before    jsonb NOT NULL,
    after     jsonb NOT NULL,
    undone_by bigint REFERENCES journal (id)
);

CREATE TABLE review_marks (
    memory_id    uuid PRIMARY KEY REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    suspended    boolean NOT NULL DEFAULT false,
    buried_until timestamptz
);
