-- Which memory replaced which, and when: the log is the truth, knowledge_nodes.superseded_by its cache.
ALTER TABLE knowledge_nodes ADD COLUMN superseded_by uuid;

-- winner_id stays as written when the winner is deleted; kind tells why a row is there.
CREATE TABLE supersession_events (
    id         bigserial PRIMARY KEY,
    loser_id   uuid NOT NULL REFERENCES knowledge_nodes (id) ON DELETE CASCADE,
    winner_id  uuid,
    kind       text NOT NULL DEFAULT 'supersede'
               CHECK (kind IN ('supersede', 'unsupersede', 'winner_deleted', 'imported')),
    decided_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (loser_id <> winner_id),
    CHECK ((winner_id IS NULL) = (kind IN ('unsupersede', 'winner_deleted')))
);

CREATE INDEX idx_supersession_events_loser ON supersession_events (loser_id, decided_at DESC, id DESC);
CREATE INDEX idx_supersession_events_winner ON supersession_events (winner_id);
CREATE INDEX idx_supersession_events_decided ON supersession_events (decided_at DESC, id DESC);
CREATE INDEX idx_knowledge_nodes_superseded_by ON knowledge_nodes (superseded_by) WHERE superseded_by IS NOT NULL;

CREATE FUNCTION vestige_cache_winner() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    winner uuid := (SELECT winner_id FROM supersession_events WHERE loser_id = NEW.loser_id
        ORDER BY decided_at DESC, id DESC LIMIT 1);
BEGIN
    UPDATE knowledge_nodes SET superseded_by = winner
    WHERE id = NEW.loser_id AND superseded_by IS DISTINCT FROM winner;
    RETURN NULL;
END;
$$;

CREATE TRIGGER trg_supersession_events_cache AFTER INSERT ON supersession_events
FOR EACH ROW EXECUTE FUNCTION vestige_cache_winner();

-- A deleted winner gives its losers back. The new row must sort last even where a clock ran ahead.
CREATE FUNCTION vestige_winner_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO supersession_events (loser_id, winner_id, kind, decided_at)
    SELECT m.id, NULL, 'winner_deleted', greatest(clock_timestamp(), (
        SELECT max(decided_at) FROM supersession_events WHERE loser_id = m.id))
    FROM knowledge_nodes m WHERE m.superseded_by = OLD.id;
    RETURN NULL;
END;
$$;

CREATE TRIGGER trg_knowledge_nodes_winner_deleted AFTER DELETE ON knowledge_nodes
FOR EACH ROW EXECUTE FUNCTION vestige_winner_deleted();
