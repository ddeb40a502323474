-- Backup and restore of a store on a server. The tables of a copy are read and written by the blocks of ../copy; these
-- are for all the others, whose columns are asked of the server. {table}, {columns} and {values} are made from them;
-- {copied} lists the tables of a copy, {ours} all of the store.

-- begin_snapshot --
-- Read everything as of this moment, however busily others write.
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- list_columns --
-- Stored columns of the other tables, each with its type and its place in the primary key; 0 for none. Not of tables that
-- are computed from others, of the record of migrations, and of extensions.
SELECT c.relname::text AS name, c.relname IN ({ours}) AS ours, a.attname::text AS column, t.typname::text AS type,
    coalesce(array_position(i.indkey::int2[], a.attnum), -1) + 1 AS place
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
AND has_table_privilege(c.oid, 'SELECT')
AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
AND c.relname NOT IN ({copied}, 'vestige_migrations', 'term_stats')
ORDER BY c.relname, a.attnum

-- list_references --
-- Tables with the tables that their rows refer to.
SELECT DISTINCT c.relname::text AS name, p.relname::text AS parent
FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_class p ON p.oid = f.confrelid
WHERE f.contype = 'f' AND c.oid <> p.oid AND c.relnamespace = quote_ident(current_schema())::regnamespace

-- list_sequences --
-- Last number that the column id of each table was given.
SELECT c.relname::text AS name, format('%I.%I', s.schemaname, s.sequencename) AS sequence, coalesce(s.last_value, 0) AS last
FROM pg_sequences s JOIN pg_class q ON q.relname = s.sequencename
    AND q.relnamespace = quote_ident(s.schemaname)::regnamespace
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = q.oid AND d.deptype IN ('a', 'i')
JOIN pg_class c ON c.oid = d.refobjid
WHERE s.schemaname = current_schema()

-- read_rows --
-- Rows of a table behind a place in its pages.
SELECT t.ctid::text AS "ctid", {columns} FROM {table} t WHERE t.ctid > %(after)s::tid ORDER BY t.ctid LIMIT %(limit)s

-- count_rows --
-- Number of rows of a table.
SELECT count(*) AS n FROM {table}

-- read_numbers --
-- Numbers of the lines of a log.
SELECT t.id FROM {table} t ORDER BY t.id

-- insert_row --
-- Insert a row of one of these tables.
INSERT INTO {table} ({columns}) VALUES ({values})

-- empty_tables --
-- Delete all rows of several tables at once, which needs the right to it.
TRUNCATE {tables}

-- delete_rows --
-- Delete all rows of a table.
DELETE FROM {table}

-- hold_tables --
-- Keep all other writers out until the transaction ends; reads go on.
LOCK TABLE {tables} IN EXCLUSIVE MODE

-- renumber_reviews --
-- Give the reviews other numbers; negative ones first, which no review has.
UPDATE review_events v SET id = -n.new,
    undoes = -(SELECT u.new FROM unnest(%(old)s::bigint[], %(new)s::bigint[]) AS u (old, new) WHERE u.old = v.undoes)
FROM unnest(%(old)s::bigint[], %(new)s::bigint[]) AS n (old, new) WHERE n.old = v.id

-- settle_reviews --
-- The numbers that the reviews were given, without their sign.
UPDATE review_events SET id = -id, undoes = -undoes WHERE id < 0

-- renumber_supersession --
-- Give the decisions other numbers; negative ones first, which no decision has.
UPDATE supersession_events v SET id = -n.new
FROM unnest(%(old)s::bigint[], %(new)s::bigint[]) AS n (old, new) WHERE n.old = v.id

-- settle_supersession --
-- The numbers that the decisions were given, without their sign.
UPDATE supersession_events SET id = -id WHERE id < 0

-- advance_sequence --
-- Take numbers from a sequence until it is past those that the rows have.
SELECT count(nextval(%(sequence)s::regclass)) AS n FROM generate_series(1, %(gap)s)

-- read_type --
-- Type of the column of vectors of a table, with its width.
SELECT format_type(a.atttypid, a.atttypmod) AS type FROM pg_attribute a
WHERE a.attrelid = to_regclass('{table}') AND a.attname = 'embedding'
