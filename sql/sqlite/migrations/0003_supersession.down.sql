DROP TRIGGER trg_knowledge_nodes_winner_deleted;
DROP TABLE supersession_events;
DROP INDEX idx_knowledge_nodes_superseded_by;
ALTER TABLE knowledge_nodes DROP COLUMN superseded_by;
