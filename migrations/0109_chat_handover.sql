-- How long a chat waits for a human and how long one has it (A7). Who took a request and never came back does not silence a chat
-- for ever, and who asked again has one request.
ALTER TABLE escalations
    -- When a human was last asked for while the request was not closed; NULL where it was once.
    ADD COLUMN asked_again_at timestamptz,
    -- When the person was told that nobody is free yet.
    ADD COLUMN told_at timestamptz,
    -- When the human who has the chat last wrote in it, or took it; NULL on what an earlier release took.
    ADD COLUMN active_at timestamptz,
    -- Who closed it; NULL where nobody did, or an earlier release wrote it.
    ADD COLUMN closed_by text,
    -- Whether it was closed because whoever had it did not write any more.
    ADD COLUMN timed_out boolean NOT NULL DEFAULT false;
