-- Where the file of a message is kept (A5), and what waits for a person to write.

ALTER TABLE messages
    ADD COLUMN media_bucket text,
    ADD COLUMN media_key text,
    ADD COLUMN media_type text,
    ADD COLUMN media_bytes bigint,
    -- Why there is none, or why nobody understood it; nothing about the person.
    ADD COLUMN media_fault text;

ALTER TABLE deliveries DROP CONSTRAINT deliveries_status_check;
ALTER TABLE deliveries ADD CONSTRAINT deliveries_status_check
    CHECK (status IN ('held', 'doubtful', 'accepted', 'sent', 'delivered', 'read', 'failed'));

-- What is due at the latest at `at`, and as soon as the person of this conversation writes.
ALTER TABLE due ADD COLUMN conversation uuid;
CREATE INDEX due_by_conversation ON due (tenant, conversation) WHERE conversation IS NOT NULL;
