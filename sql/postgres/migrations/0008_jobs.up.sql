-- What a job needs to be taken up anywhere: its options, and with which attempt the work began that it goes on with.
ALTER TABLE job_runs ADD COLUMN options jsonb NOT NULL DEFAULT '{}';
ALTER TABLE job_runs ADD COLUMN began_with integer NOT NULL DEFAULT 1;
UPDATE job_runs SET began_with = attempt;

-- A comparison names rows that differ or are on one side only; a re-embedding, memories that could not be encoded.
ALTER TABLE job_findings DROP CONSTRAINT job_findings_outcome_check;
ALTER TABLE job_findings ADD CONSTRAINT job_findings_outcome_check CHECK (outcome IN
    ('repaired', 'failed', 'left_behind', 'zero_vector', 'differs', 'only_source', 'only_target', 'updated', 'deleted'));

-- The vectors of a second model: those that a re-embedding makes, and after it those of the model before, to go back to.
CREATE TABLE spare_embeddings (
    node_id   uuid PRIMARY KEY REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    embedding vector NOT NULL
);
ALTER TABLE spare_embeddings ALTER COLUMN embedding SET STORAGE PLAIN;

CREATE TABLE spare_model (
    id         smallint PRIMARY KEY CHECK (id = 1),
    name       text NOT NULL,
    dimension  integer NOT NULL CHECK (dimension > 0),
    hash       text NOT NULL,
    created_at timestamptz NOT NULL,
    role       text NOT NULL CHECK (role IN ('building', 'kept'))
);

-- A spare vector is of the text that a memory has, or it is not there.
CREATE FUNCTION vestige_forget_spare() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM spare_embeddings WHERE node_id = NEW.id;
    RETURN NULL;
END;
$$;
CREATE TRIGGER trg_knowledge_nodes_spare AFTER UPDATE OF content ON knowledge_nodes
FOR EACH ROW WHEN (OLD.content IS DISTINCT FROM NEW.content) EXECUTE FUNCTION vestige_forget_spare();

-- The models that the store belonged to, one line a change.
CREATE TABLE model_changes (
    id             bigserial PRIMARY KEY,
    kind           text NOT NULL CHECK (kind IN ('reembed', 'in_place', 'rollback')),
    from_name      text NOT NULL,
    from_dimension integer NOT NULL,
    from_hash      text NOT NULL,
    to_name        text NOT NULL,
    to_dimension   integer NOT NULL,
    to_hash        text NOT NULL,
    memories       bigint NOT NULL,
    seconds        double precision NOT NULL,
    changed_at     timestamptz NOT NULL,
    delegation_id  text
);
