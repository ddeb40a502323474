DROP TRIGGER trg_knowledge_nodes_winner_deleted ON knowledge_nodes;
DROP TABLE supersession_events;
DROP FUNCTION vestige_winner_deleted();
DROP FUNCTION vestige_cache_winner();
ALTER TABLE knowledge_nodes DROP COLUMN superseded_by;
