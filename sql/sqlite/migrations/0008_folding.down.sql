DROP TRIGGER trg_knowledge_fts_update;
DROP TRIGGER trg_knowledge_fts_delete;
DROP TRIGGER trg_knowledge_fts_insert;
DROP VIEW knowledge_fts_folded;
DROP VIEW knowledge_fts_replacement;
DROP VIEW knowledge_fts_cut;
DROP TABLE knowledge_fts_text;
DROP TABLE knowledge_fts_letters;
DROP TABLE knowledge_fts_groups;
DROP TABLE knowledge_fts;
CREATE VIRTUAL TABLE knowledge_fts USING fts5(
    content, node_type, tags,
    content='knowledge_nodes', content_rowid='seq', tokenize='porter unicode61 remove_diacritics 2'
);

CREATE TRIGGER trg_knowledge_fts_insert AFTER INSERT ON knowledge_nodes BEGIN
    INSERT INTO knowledge_fts (rowid, content, node_type, tags) VALUES (NEW.seq, NEW.content, NEW.node_type, NEW.tags);
END;

CREATE TRIGGER trg_knowledge_fts_delete AFTER DELETE ON knowledge_nodes BEGIN
    INSERT INTO knowledge_fts (knowledge_fts, rowid, content, node_type, tags)
    VALUES ('delete', OLD.seq, OLD.content, OLD.node_type, OLD.tags);
END;

CREATE TRIGGER trg_knowledge_fts_update AFTER UPDATE OF content, node_type, tags ON knowledge_nodes BEGIN
    INSERT INTO knowledge_fts (knowledge_fts, rowid, content, node_type, tags)
    VALUES ('delete', OLD.seq, OLD.content, OLD.node_type, OLD.tags);
    INSERT INTO knowledge_fts (rowid, content, node_type, tags) VALUES (NEW.seq, NEW.content, NEW.node_type, NEW.tags);
END;

INSERT INTO knowledge_fts (knowledge_fts) VALUES ('rebuild');
