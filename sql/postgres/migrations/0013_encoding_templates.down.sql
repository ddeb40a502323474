ALTER TABLE spare_model DROP COLUMN query_template;
ALTER TABLE spare_model DROP COLUMN document_template;
ALTER TABLE embedding_model DROP COLUMN query_template;
ALTER TABLE embedding_model DROP COLUMN document_template;
