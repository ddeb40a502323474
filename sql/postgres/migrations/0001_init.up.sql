-- Memories, their vectors, schedules, links and reviews; users and groups; the model they belong to.
CREATE EXTENSION IF NOT EXISTS vector;

-- Words are stemmed, never dropped: one list of stop words, kept by the program, serves both dialects, and a phrase
-- may contain any of them. Porter's stemmer is the one that FTS5 has.
CREATE TEXT SEARCH DICTIONARY vestige_stem (TEMPLATE = snowball, Language = 'porter');
CREATE TEXT SEARCH CONFIGURATION vestige (PARSER = "default");
ALTER TEXT SEARCH CONFIGURATION vestige
    ADD MAPPING FOR asciiword, word, numword, asciihword, hword, numhword,
                    hword_asciipart, hword_part, hword_numpart WITH vestige_stem;
ALTER TEXT SEARCH CONFIGURATION vestige
    ADD MAPPING FOR email, url, url_path, host, file, version, int, uint, float, sfloat WITH simple;

-- Makes the parser see what FTS5's tokenizer sees: no hosts, paths, mail addresses, versions or tags, and no accents.
-- translate() walks its list for every character, so the accents are only looked for where a text has any.
CREATE FUNCTION vestige_fold(t text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT translate(
        CASE WHEN octet_length(t) = char_length(t) THEN t
             ELSE translate(lower(t),
                'àáâãäåāăąçćĉċčďèéêëēĕėęěĝğġģĥìíîïĩīĭįıĵķĺļľñńņňòóôõöōŏőøŕŗřśŝşšţťùúûüũūŭůűųŵýÿŷźżž',
                'aaaaaaaaacccccdeeeeeeeeegggghiiiiiiiiijklllnnnnooooooooorrrssssttuuuuuuuuuuwyyyzzz')
        END, '-./_@+&<>:''', '           ')
$$;

-- A tsvector holds 1 MiB. A word of n octets takes at most twice n + 1 in it, so 400,000 octets of text always fit.
CREATE FUNCTION vestige_head(t text, octets integer) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length(t) <= octets THEN t ELSE convert_from(substring(convert_to(t, 'UTF8') FROM 1 FOR octets - (
        SELECT k FROM generate_series(0, 3) AS k WHERE (get_byte(convert_to(t, 'UTF8'), octets - k) & 192) <> 128 LIMIT 1
    )), 'UTF8') END
$$;

CREATE FUNCTION vestige_words(content text, node_type text, tags text[]) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_tsvector('vestige'::regconfig, vestige_fold(vestige_head(coalesce(content, ''), 400000)))
        || to_tsvector('vestige'::regconfig, vestige_fold(vestige_head(coalesce(node_type, ''), 10000)))
        || to_tsvector('vestige'::regconfig, vestige_fold(vestige_head(coalesce(array_to_string(tags, ' '), ''), 90000)))
$$;

CREATE TABLE embedding_model (
    id         smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    name       text NOT NULL,
    dimension  integer NOT NULL CHECK (dimension > 0),
    hash       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE domains (
    id           text PRIMARY KEY,
    label        text NOT NULL,
    centroid     vector,
    top_terms    text[] NOT NULL DEFAULT '{}',
    memory_count integer NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),
    metadata     jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE users (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    handle       text NOT NULL UNIQUE,
    display_name text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    metadata     jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE groups (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    handle       text NOT NULL UNIQUE,
    display_name text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    metadata     jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE group_memberships (
    user_id   uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    group_id  uuid NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    role      text NOT NULL DEFAULT 'member' CHECK (role IN ('member', 'admin')),
    joined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, group_id)
);

CREATE TABLE knowledge_nodes (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    content            text NOT NULL,
    node_type          text NOT NULL DEFAULT 'fact',
    tags               text[] NOT NULL DEFAULT '{}',
    metadata           jsonb NOT NULL DEFAULT '{}',
    domains            text[] NOT NULL DEFAULT '{}',
    domain_scores      jsonb NOT NULL DEFAULT '{}',
    codebase           text,
    owner_user_id      uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000001' REFERENCES users (id),
    visibility         text NOT NULL DEFAULT 'private' CHECK (visibility IN ('private', 'group', 'public')),
    shared_with_groups uuid[] NOT NULL DEFAULT '{}',
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    search_vec         tsvector GENERATED ALWAYS AS (vestige_words(content, node_type, tags)) STORED
);

-- Vectors lie in a narrow table: an exact or filtered search reads four to eight times fewer pages, and a re-embedding
-- never rewrites a memory. The width is stamped when a model is registered.
CREATE TABLE node_embeddings (
    node_id   uuid PRIMARY KEY REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    embedding vector NOT NULL
);
ALTER TABLE node_embeddings ALTER COLUMN embedding SET STORAGE PLAIN;

CREATE TABLE scheduling (
    memory_id      uuid PRIMARY KEY REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    stability      double precision NOT NULL DEFAULT 0.0,
    difficulty     double precision NOT NULL DEFAULT 0.0,
    retrievability double precision NOT NULL DEFAULT 1.0,
    last_review    timestamptz,
    next_review    timestamptz,
    reps           integer NOT NULL DEFAULT 0,
    lapses         integer NOT NULL DEFAULT 0
);

CREATE TABLE edges (
    source_id  uuid NOT NULL REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    target_id  uuid NOT NULL REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    edge_type  text NOT NULL DEFAULT 'related',
    weight     double precision NOT NULL DEFAULT 1.0,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source_id, target_id, edge_type)
);

CREATE TABLE review_events (
    id          bigserial PRIMARY KEY,
    memory_id   uuid NOT NULL REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    timestamp   timestamptz NOT NULL DEFAULT now(),
    rating      smallint NOT NULL,
    prior_state jsonb NOT NULL,
    new_state   jsonb NOT NULL,
    undoes      bigint REFERENCES review_events (id) ON DELETE CASCADE
);

CREATE INDEX idx_knowledge_nodes_fts ON knowledge_nodes USING gin (search_vec);
CREATE INDEX idx_knowledge_nodes_domains ON knowledge_nodes USING gin (domains);
CREATE INDEX idx_knowledge_nodes_tags ON knowledge_nodes USING gin (tags);
CREATE INDEX idx_knowledge_nodes_node_type ON knowledge_nodes (node_type);
CREATE INDEX idx_knowledge_nodes_created ON knowledge_nodes (created_at, id);
CREATE INDEX idx_knowledge_nodes_updated ON knowledge_nodes (updated_at, id);
CREATE INDEX idx_knowledge_nodes_owner ON knowledge_nodes (owner_user_id);
CREATE INDEX idx_knowledge_nodes_shared_groups ON knowledge_nodes USING gin (shared_with_groups);
CREATE INDEX idx_knowledge_nodes_codebase ON knowledge_nodes (codebase) WHERE codebase IS NOT NULL;
CREATE INDEX idx_scheduling_next_review ON scheduling (next_review, memory_id);
CREATE INDEX idx_scheduling_last_review ON scheduling (last_review);
CREATE INDEX idx_edges_target ON edges (target_id);
CREATE INDEX idx_edges_source ON edges (source_id);
CREATE INDEX idx_edges_type ON edges (edge_type);
CREATE INDEX idx_review_events_memory ON review_events (memory_id, id);
CREATE INDEX idx_review_events_ts ON review_events (timestamp);

-- Moves with what a person would call an edit, and leaves alone a time that the writer has set.
CREATE FUNCTION vestige_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END;
$$;

CREATE TRIGGER trg_knowledge_nodes_updated_at BEFORE UPDATE ON knowledge_nodes FOR EACH ROW
WHEN (OLD.updated_at IS NOT DISTINCT FROM NEW.updated_at AND (
    OLD.content IS DISTINCT FROM NEW.content OR OLD.node_type IS DISTINCT FROM NEW.node_type
    OR OLD.tags IS DISTINCT FROM NEW.tags OR OLD.metadata IS DISTINCT FROM NEW.metadata
    OR OLD.codebase IS DISTINCT FROM NEW.codebase))
EXECUTE FUNCTION vestige_touch();

INSERT INTO users (id, handle, display_name) VALUES ('00000000-0000-0000-0000-000000000001', 'local', 'Local User');
