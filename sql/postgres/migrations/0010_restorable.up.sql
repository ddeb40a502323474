-- Lets a dump be restored: pg_dump and pg_upgrade create the tables under an empty search_path, under which the words of
-- a memory would not find their configuration, and no memory would come back.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION vestige_words(text, text, text[]) SET search_path = %I, pg_catalog', current_schema());
END
$$;
