-- The file that a document of a business is, for agents to send (C5).

ALTER TABLE knowledge_documents
    ADD COLUMN file_bucket text,
    ADD COLUMN file_key text,
    ADD COLUMN file_type text,
    ADD COLUMN file_bytes bigint,
    ADD COLUMN file_sha256 text,
    -- What a person sees as its name; may be missing.
    ADD COLUMN file_name text,
    ADD CONSTRAINT knowledge_documents_file_whole
        CHECK (num_nonnulls(file_bucket, file_key, file_type, file_bytes, file_sha256) IN (0, 5));
