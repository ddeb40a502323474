"""Schema: migrations, named SQL, and how rows are read, Vestige's own files included."""
