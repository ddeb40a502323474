-- The extension stays: another schema may use it.
DROP TABLE review_events, edges, scheduling, node_embeddings, knowledge_nodes, group_memberships, groups, users, domains,
    embedding_model;
DROP FUNCTION vestige_touch();
DROP FUNCTION vestige_words(text, text, text[]);
DROP FUNCTION vestige_head(text, integer);
DROP FUNCTION vestige_fold(text);
DROP TEXT SEARCH CONFIGURATION vestige;
DROP TEXT SEARCH DICTIONARY vestige_stem;
