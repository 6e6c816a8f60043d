-- What a business knows, in pieces that can be found (C5).

CREATE TABLE knowledge_documents (
    tenant uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    title text NOT NULL,
    -- Where it came from, as answers name it.
    source text NOT NULL,
    -- Tells whether a document changed since its pieces were made.
    sha256 bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id)
);
CALL keep_tenants_apart('knowledge_documents', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');

CREATE TABLE knowledge_chunks (
    tenant uuid NOT NULL,
    document uuid NOT NULL,
    number integer NOT NULL,
    text text NOT NULL,
    -- Full-text search serves alone where there is no embedding endpoint.
    words tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('english', text)) STORED,
    -- Without a fixed length: models differ, and a tenant may change its model piece by piece.
    embedding vector,
    embedding_model text,
    PRIMARY KEY (tenant, document, number),
    FOREIGN KEY (tenant, document) REFERENCES knowledge_documents (tenant, id) ON DELETE CASCADE,
    CHECK ((embedding IS NULL) = (embedding_model IS NULL))
);
CREATE INDEX knowledge_chunks_by_words ON knowledge_chunks USING gin (words);
CALL keep_tenants_apart('knowledge_chunks', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');
