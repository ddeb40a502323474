LOCK TABLE knowledge_nodes IN SHARE ROW EXCLUSIVE MODE;

CREATE OR REPLACE FUNCTION vestige_fold(t text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT translate(
        CASE WHEN octet_length(t) = char_length(t) THEN t
             ELSE translate(lower(t),
                'àáâãäåāăąçćĉċčďèéêëēĕėęěĝğġģĥìíîïĩīĭįıĵķĺļľñńņňòóôõöōŏőøŕŗřśŝşšţťùúûüũūŭůűųŵýÿŷźżž',
                'aaaaaaaaacccccdeeeeeeeeegggghiiiiiiiiijklllnnnnooooooooorrrssssttuuuuuuuuuuwyyyzzz')
        END, '-./_@+&<>:''', '           ')
$$;

CREATE OR REPLACE FUNCTION vestige_words(content text, node_type text, tags text[]) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_tsvector('vestige'::regconfig, vestige_fold(vestige_head(coalesce(content, ''), 400000)))
        || to_tsvector('vestige'::regconfig, vestige_fold(vestige_head(coalesce(node_type, ''), 10000)))
        || to_tsvector('vestige'::regconfig, vestige_fold(vestige_head(coalesce(array_to_string(tags, ' '), ''), 90000)))
$$;

DROP FUNCTION vestige_fold_letters(text);
UPDATE knowledge_nodes m SET content = content
WHERE octet_length(m.content || m.node_type || m.tags::text) <> char_length(m.content || m.node_type || m.tags::text)
    AND m.search_vec IS DISTINCT FROM vestige_words(m.content, m.node_type, m.tags);
UPDATE term_stats SET documents = 0 WHERE lexeme = '';
