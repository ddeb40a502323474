-- The text index over content, type and tags; it stores no text of its own.
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
