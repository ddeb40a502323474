DROP TRIGGER trg_knowledge_fts_update;
DROP TRIGGER trg_knowledge_fts_delete;
DROP TRIGGER trg_knowledge_fts_insert;
DROP TABLE knowledge_fts;
