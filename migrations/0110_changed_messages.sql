-- What a person changed or took back (A5). The text of a changed message is the current one; one that was taken back has none.
ALTER TABLE messages
    ADD COLUMN edited_at timestamptz,
    ADD COLUMN revoked_at timestamptz;
