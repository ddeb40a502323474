-- Backups of whole SQLite files. In a comparison "main" is the store, and "backup" the attached backup of it. {table}
-- and {schema} are quoted names, {columns} and {same_key} are made of them.

-- list_tables --
-- Tables with rows of their own: neither SQLite's, nor the parts of a text index.
SELECT name FROM pragma_table_list WHERE schema = :schema AND type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
ORDER BY name

-- list_compared --
-- Tables whose rows can be lost: not the text index, which follows from the memories, and no bookkeeping of the schema.
SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
AND name NOT LIKE 'knowledge\_fts%' ESCAPE '\' AND name NOT IN ('vestige_migrations', 'console_adoption', 'sync_state')
ORDER BY name

-- count_table --
-- Number of rows of a table.
SELECT count(*) FROM {schema}.{table}

-- list_columns --
-- Stored columns of a table, and the place of each in the primary key; 0 for none.
SELECT name, pk FROM pragma_table_info(:table, :schema)

-- list_unique --
-- Columns of the unique constraints of a table, constraint by constraint.
SELECT i.name, c.name FROM pragma_index_list(:table, 'main') i, pragma_index_info(i.name, 'main') c
WHERE i."unique" AND NOT i.partial AND i.origin <> 'pk' AND c.name IS NOT NULL ORDER BY i.name, c.seqno

-- count_missing --
-- Number of rows of the store that the backup lacks.
SELECT count(*) FROM main.{table} s WHERE NOT EXISTS (SELECT 1 FROM backup.{table} b WHERE {same_key})

-- count_unlike --
-- Number of rows of the store of which the backup has no equal.
SELECT count(*) FROM (SELECT {columns} FROM main.{table} EXCEPT SELECT {columns} FROM backup.{table})

-- list_examples --
-- Texts of memories that the backup lacks, the latest first.
SELECT s.content FROM main.knowledge_nodes s WHERE NOT EXISTS (SELECT 1 FROM backup.knowledge_nodes b WHERE b.id IS s.id)
ORDER BY s.created_at DESC LIMIT :limit

-- attach_backup --
-- Attach a backup for a comparison.
ATTACH DATABASE :address AS backup

-- check_pages --
-- First damage of the pages of a file.
PRAGMA quick_check(1)
