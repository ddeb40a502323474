-- What a model reads of a text and of a query; {input} stands for it.
ALTER TABLE embedding_model ADD COLUMN document_template text NOT NULL DEFAULT '{input}';
ALTER TABLE embedding_model ADD COLUMN query_template text NOT NULL DEFAULT '{input}';
ALTER TABLE spare_model ADD COLUMN document_template text NOT NULL DEFAULT '{input}';
ALTER TABLE spare_model ADD COLUMN query_template text NOT NULL DEFAULT '{input}';
