-- Every commit that changes what a screen shows says so, once, to whoever listens to this store.
-- The channel carries the number of the schema that the table is in: two stores in one database do not wake each other,
-- and a restored store has a channel of its own. The payload never varies, so that a transaction is one notification.
CREATE FUNCTION vestige_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('vestige_' || relnamespace, '') FROM pg_class WHERE oid = TG_RELID;
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
