-- Whole rows of a table, by key, as JSON. {table}, {columns}, {values}, {changes} and {key} are names of the schema; each
-- element of a JSON array makes a row k of the table's type, at its place.

-- table_columns --
-- Columns of a table: the place in its primary key, 0 for none; those that are computed are left out.
SELECT a.attname AS name, coalesce(array_position(i.indkey::int2[], a.attnum) + 1, 0) AS pk
FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = '{table}'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum

-- read_rows --
-- The rows of some keys, each with the place of its key.
SELECT e.place, jsonb_build_object({columns}) AS image
FROM jsonb_array_elements(%(rows)s) WITH ORDINALITY e (value, place)
CROSS JOIN LATERAL jsonb_populate_record(NULL::{table}, e.value) k JOIN {table} t ON {key} FOR UPDATE OF t

-- insert_rows --
-- Put rows there.
INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {values}
FROM jsonb_populate_recordset(NULL::{table}, %(rows)s) k

-- update_rows --
-- Change the same columns of some rows.
UPDATE {table} t SET {changes} FROM jsonb_populate_recordset(NULL::{table}, %(rows)s) k WHERE {key}

-- delete_rows --
-- Delete rows.
DELETE FROM {table} t USING jsonb_populate_recordset(NULL::{table}, %(rows)s) k WHERE {key}

-- list_parents --
-- Foreign keys of some tables: the table, the name and the definition of each, and whether all rows are known to keep it.
SELECT c.conrelid::regclass::text AS place, c.conname AS name, pg_get_constraintdef(c.oid) AS definition, c.convalidated AS is_kept,
    pg_has_role(t.relowner, 'USAGE') AS is_owned
FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
WHERE c.contype = 'f' AND c.conrelid = ANY (%(tables)s::regclass[]) ORDER BY c.conrelid, c.conname

-- lift_parents --
-- Allow rows without a parent in this transaction; only a superuser, or a role with the right to set this, may.
SET LOCAL session_replication_role = replica

-- demand_parents --
-- Check foreign keys again.
SET LOCAL session_replication_role = origin

-- drop_parent --
-- Drop a foreign key, before rows without a parent are written.
ALTER TABLE {place} DROP CONSTRAINT {name}

-- add_parent --
-- Add it again. It then holds for every row that is written, and not for those that are there.
ALTER TABLE {place} ADD CONSTRAINT {name} {definition} NOT VALID

-- validate_parent --
-- Note that all rows keep it. Raises an error if one does not.
ALTER TABLE {place} VALIDATE CONSTRAINT {name}

-- count_rows --
-- Rows of a table.
SELECT count(*) AS n FROM {table}
