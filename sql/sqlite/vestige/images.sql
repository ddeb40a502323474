-- Values of the server's rows before and after a change of the console, so that an undo restores each exactly. Triggers
-- of the writing connection note them in a temporary table; at the end of a write they go to its entry in the journal.
-- They are copied from column to column, so that a text that is no UTF-8, a number and its type stay as they are.

-- changes_table --
-- Kind: update, delete, insert, which has no values, or entry, of which the first key is its number in the journal.
CREATE TEMP TABLE server_changes (
    id    INTEGER PRIMARY KEY,
    kind  TEXT NOT NULL,
    place TEXT NOT NULL,
    key_1,
    key_2,
    key_3,
    name  TEXT NOT NULL DEFAULT '',
    before,
    after
)

-- index_insertions --
CREATE INDEX temp.server_insertions ON server_changes (place, key_1) WHERE kind = 'insert'

-- watch_rows --
CREATE TEMP TRIGGER {name} AFTER {event} ON main.{table} BEGIN
    INSERT INTO server_changes (kind, place, key_1, key_2, key_3, name, before, after)
    {values};
END

-- updated_value --
SELECT 'update', {place}, {keys}, {text}, OLD.{column}, NEW.{column}
WHERE OLD.{column} IS NOT NEW.{column} COLLATE BINARY OR typeof(OLD.{column}) <> typeof(NEW.{column})

-- deleted_value --
SELECT 'delete', {place}, {keys}, {text}, OLD.{column}, NULL

-- inserted_row --
SELECT 'insert', {place}, {keys}, '', NULL, NULL

-- watch_entries --
CREATE TEMP TRIGGER watch_entries AFTER INSERT ON main.journal BEGIN
    INSERT INTO server_changes (kind, place, key_1) VALUES ('entry', '', NEW.id);
END

-- list_watched --
-- Tables with rows of their own: not those of a text index.
SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'

-- list_watched_columns --
SELECT name, pk FROM pragma_table_info({place}, 'main')

-- list_reinserted --
-- Values of rows that a write has deleted and then inserted again.
SELECT c.id, c.kind, c.place, c.key_1, c.key_2, c.key_3, c.name FROM temp.server_changes c
WHERE c.kind = 'delete' AND EXISTS (
    SELECT 1 FROM temp.server_changes n WHERE n.kind = 'insert' AND n.place = c.place AND n.key_1 IS c.key_1
        AND n.key_2 IS c.key_2 AND n.key_3 IS c.key_3 AND n.id > c.id)

-- note_reinserted --
-- The whole is an update, unless the row was deleted again.
UPDATE temp.server_changes SET kind = 'update', after = (SELECT {column} FROM main.{table} WHERE {condition})
WHERE id = {id} AND EXISTS (SELECT 1 FROM main.{table} WHERE {condition})

-- keep_changes --
-- A change without an entry has no undo, and a row that the change itself has inserted no values before it.
INSERT INTO main.console_images (entry, kind, place, key_1, key_2, key_3, name, before, after)
SELECT j.entry, c.kind, c.place, c.key_1, c.key_2, c.key_3, c.name, c.before, c.after
FROM temp.server_changes c, (SELECT max(e.key_1) AS entry FROM temp.server_changes e WHERE e.kind = 'entry') j
WHERE j.entry IS NOT NULL AND c.kind IN ('update', 'delete') AND NOT EXISTS (
    SELECT 1 FROM temp.server_changes n WHERE n.kind = 'insert' AND n.place = c.place AND n.key_1 IS c.key_1
        AND n.key_2 IS c.key_2 AND n.key_3 IS c.key_3 AND n.id < c.id)
ORDER BY c.id

-- forget_changes --
DELETE FROM temp.server_changes

-- list_images --
SELECT id, kind, place, key_1, key_2, key_3, name FROM main.console_images
WHERE entry = ? ORDER BY id

-- list_changes --
SELECT id, kind, place, key_1, key_2, key_3, name FROM temp.server_changes ORDER BY id

-- compare_images --
SELECT {values} FROM main.{table} WHERE {condition}

-- compared_image --
(SELECT {column} IS i.after COLLATE BINARY AND typeof({column}) = typeof(i.after) FROM main.console_images i WHERE i.id = {id})

-- put_images --
UPDATE main.{table} SET {values} WHERE {condition}

-- insert_images --
INSERT INTO main.{table} ({columns}) SELECT {values}

-- image --
(SELECT i.before FROM {source} i WHERE i.id = {id})

-- image_key --
{column} IS (SELECT i.{key} FROM {source} i WHERE i.id = {id})

-- vector_marks --
-- Columns of a memory that tell whether it has a vector.
has_embedding embedding_model

-- vector_counts --
-- Columns with the number of vectors.
vector_count
