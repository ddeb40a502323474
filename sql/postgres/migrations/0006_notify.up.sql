-- Every commit that changes what a screen shows says so, once, where anybody listens. Channel and lock carry the schema
-- that the table is in: two stores in one database do not wake each other. The payload never varies, so that a
-- transaction is one notification.
--
-- Commits that notify wait for each other, those of every database of the server. So nothing is said where nobody
-- listens: who listens holds the lock shared, which is why it cannot be had here for a moment.
CREATE FUNCTION vestige_tell() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    store bigint := hashtextextended('vestige ' || TG_TABLE_SCHEMA, 0);
BEGIN
    IF NOT (CASE WHEN pg_try_advisory_lock(store) THEN pg_advisory_unlock(store) ELSE false END) THEN
        PERFORM pg_notify('vestige_' || store, '');
    END IF;
    RETURN NULL;
END;
$$;

-- Jobs are left out: they are asked about all the time, wherever they run, and their heartbeats change nothing else.
CREATE TRIGGER trg_knowledge_nodes_tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON knowledge_nodes
FOR EACH STATEMENT EXECUTE FUNCTION vestige_tell();
CREATE TRIGGER trg_node_embeddings_tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON node_embeddings
FOR EACH STATEMENT EXECUTE FUNCTION vestige_tell();
CREATE TRIGGER trg_scheduling_tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON scheduling
FOR EACH STATEMENT EXECUTE FUNCTION vestige_tell();
CREATE TRIGGER trg_edges_tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON edges
FOR EACH STATEMENT EXECUTE FUNCTION vestige_tell();
CREATE TRIGGER trg_review_events_tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON review_events
FOR EACH STATEMENT EXECUTE FUNCTION vestige_tell();
CREATE TRIGGER trg_review_marks_tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON review_marks
FOR EACH STATEMENT EXECUTE FUNCTION vestige_tell();
CREATE TRIGGER trg_supersession_events_tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON supersession_events
FOR EACH STATEMENT EXECUTE FUNCTION vestige_tell();
CREATE TRIGGER trg_journal_tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON journal
FOR EACH STATEMENT EXECUTE FUNCTION vestige_tell();
CREATE TRIGGER trg_embedding_model_tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON embedding_model
FOR EACH STATEMENT EXECUTE FUNCTION vestige_tell();
