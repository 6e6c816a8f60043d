-- What was given up, taken out of the broker so that it can be browsed, searched and replayed (F5).
--
-- It is the operators' and lies outside row-level security: who looks for what is broken looks at all tenants. The
-- services may add to it and not read it.

-- The role operators' tools work under. (Roles belong to the whole server: see 0001.)
DO $$
BEGIN
    CREATE ROLE switchboard_operator NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'switchboard_operator', 'MEMBER') THEN
        EXECUTE format('GRANT switchboard_operator TO %I', current_user);
    END IF;
END
$$;
GRANT USAGE ON SCHEMA public TO switchboard_operator;

CREATE TABLE dead_letters (
    -- In the order in which they were taken out: within a queue's group, the order they died in.
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text NOT NULL,
    -- The broker's id: taken out twice, a letter is kept once.
    message text NOT NULL,
    message_group text NOT NULL,
    reason text NOT NULL,
    starts integer NOT NULL,
    receives integer NOT NULL,
    sent_at timestamptz,
    died_at timestamptz NOT NULL,
    -- What the envelope says, where it can be decoded.
    tenant uuid,
    conversation uuid,
    event uuid,
    event_name text,
    turn integer,
    replays integer NOT NULL DEFAULT 0,
    occurred_at timestamptz,
    expires_at timestamptz,
    trace_id text,
    -- The release of the task that kept it.
    build text NOT NULL,
    -- The body as it was buried: it speaks of a person. Letters of all tenants, and of none, are sealed under keys of
    -- their own, which lie beside them wrapped by KMS.
    body_enc bytea NOT NULL,
    wrapped_key bytea NOT NULL,
    state text NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'pending', 'published', 'processed', 'failed', 'discarded')),
    UNIQUE (queue, message)
);
CREATE INDEX dead_letters_by_state ON dead_letters (state, queue, number);
CREATE INDEX dead_letters_by_event ON dead_letters (event);
GRANT INSERT ON dead_letters TO switchboard_service;
GRANT SELECT, UPDATE (state) ON dead_letters TO switchboard_operator;

-- Who did what to a letter, and what came of it. Nobody changes it.
CREATE TABLE dead_letter_acts (
    letter bigint NOT NULL REFERENCES dead_letters (number) ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- `replay`, `published`, `processed`, `failed`, `discard`, `reveal`.
    act text NOT NULL,
    actor text NOT NULL,
    detail text NOT NULL DEFAULT ''
);
CREATE INDEX dead_letter_acts_by_letter ON dead_letter_acts (letter, at);
GRANT SELECT, INSERT ON dead_letter_acts TO switchboard_operator;

-- Which conversations have been spoken in since a moment: a replay into one that has moved on is told before it is made.
CREATE FUNCTION conversation_moved_on(of_tenant uuid, of_conversation uuid, since timestamptz)
    RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM set_config('app.tenant', of_tenant::text, true);
    RETURN EXISTS (
        SELECT FROM messages m
        WHERE m.tenant = of_tenant AND m.conversation = of_conversation AND m.occurred_at > since);
END
$$;
REVOKE ALL ON FUNCTION conversation_moved_on(uuid, uuid, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION conversation_moved_on(uuid, uuid, timestamptz) TO switchboard_operator;
