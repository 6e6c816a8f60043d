-- Who talked to us, what was said, and what became of it (D1).
--
-- `*_enc` is encrypted under the tenant's key with tenant and column name bound to it, `*_hash` is
-- the keyed hash a row is found by (D3). Ids are made outside and derive from events, so that a
-- second delivery finds the first one's rows.

CREATE TABLE users (
    tenant uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    name_enc bytea,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX users_by_last_seen ON users (tenant, last_seen_at DESC, id);
CALL keep_tenants_apart('users', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');

-- What a person is known by. A phone number and the WhatsApp id made of it are one identity, so
-- that a person has one timeline over all channels (A8).
CREATE TABLE user_identities (
    tenant uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('phone', 'bsuid', 'email')),
    value_hash bytea NOT NULL,
    value_enc bytea NOT NULL,
    user_id uuid NOT NULL,
    PRIMARY KEY (tenant, kind, value_hash),
    FOREIGN KEY (tenant, user_id) REFERENCES users (tenant, id) ON DELETE CASCADE
);
CREATE INDEX user_identities_by_user ON user_identities (tenant, user_id);
CALL keep_tenants_apart('user_identities', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');

CREATE TABLE conversations (
    tenant uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    channel text NOT NULL,
    -- Which of our addresses; NULL until an event that names it has arrived.
    our_address text,
    -- NULL for a caller who hides the number.
    user_id uuid,
    started_at timestamptz NOT NULL,
    last_active_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, user_id) REFERENCES users (tenant, id)
);
CREATE INDEX conversations_by_time ON conversations (tenant, last_active_at DESC, id);
CREATE INDEX conversations_by_channel ON conversations (tenant, channel, last_active_at DESC, id);
CREATE INDEX conversations_by_user ON conversations (tenant, user_id, last_active_at DESC, id);
CALL keep_tenants_apart('conversations', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');

CREATE TABLE messages (
    tenant uuid NOT NULL,
    -- The event's id; on calls an agent's message has an id made of conversation and turn, because
    -- what was heard of it may arrive before the message itself.
    id uuid NOT NULL,
    conversation uuid NOT NULL,
    channel text NOT NULL,
    role text NOT NULL CHECK (role IN ('user', 'agent', 'operator')),
    -- NULL while a chat message has not been answered: the answer gives the turn.
    turn integer,
    -- Sorts the messages of one conversation: on calls by turn, on chats by time.
    position bigint NOT NULL,
    kind text NOT NULL,
    kind_value text,
    -- What was said, written, or heard of a reply (B2). At most one of the pair is set.
    text text,
    text_enc bytea,
    -- What the agent meant to say, where that is known.
    intended text,
    intended_enc bytea,
    -- How much of a spoken reply was heard; NULL while nobody has said.
    heard_chars integer,
    heard_whole boolean,
    attempt bigint,
    external_id text,
    in_reply_to text,
    -- How the reply came about (C9).
    agent text,
    confidence real,
    reason text,
    model text,
    processing_ms bigint,
    tokens_in bigint,
    tokens_out bigint,
    cost_micros bigint,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, conversation) REFERENCES conversations (tenant, id) ON DELETE CASCADE,
    CHECK (text IS NULL OR text_enc IS NULL),
    CHECK (intended IS NULL OR intended_enc IS NULL),
    CHECK ((heard_chars IS NULL) = (heard_whole IS NULL))
);
CREATE INDEX messages_by_position ON messages (tenant, conversation, position, id);
CREATE INDEX messages_by_time ON messages (tenant, occurred_at DESC, id);
CREATE INDEX messages_by_agent ON messages (tenant, agent, occurred_at DESC, id)
    WHERE agent IS NOT NULL;
CREATE INDEX messages_by_external_id ON messages (tenant, external_id)
    WHERE external_id IS NOT NULL;
CREATE INDEX messages_by_answered ON messages (tenant, in_reply_to)
    WHERE in_reply_to IS NOT NULL;
CALL keep_tenants_apart('messages', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');

-- What vendors said became of what we sent. A row of its own, for a status may arrive before the
-- message, and before anybody knows which message it is about.
CREATE TABLE deliveries (
    tenant uuid NOT NULL REFERENCES tenants (id),
    -- The vendor's id; for a message that never got one, `event:` and the message's id.
    key text NOT NULL,
    message uuid,
    status text NOT NULL
        CHECK (status IN ('doubtful', 'accepted', 'sent', 'delivered', 'read', 'failed')),
    -- The status as a number that only grows.
    progress smallint NOT NULL,
    error_code bigint,
    error_text text,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, key)
);
CREATE INDEX deliveries_by_message ON deliveries (tenant, message);
CALL keep_tenants_apart('deliveries', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');

CREATE TABLE call_logs (
    tenant uuid NOT NULL,
    call text NOT NULL,
    conversation uuid NOT NULL,
    -- NULL until CallStarted or CallEnded has arrived.
    started_at timestamptz,
    ended_at timestamptz,
    end_reason text,
    recording_bucket text,
    recording_key text,
    recording_ms bigint,
    recording_bytes bigint,
    PRIMARY KEY (tenant, call),
    FOREIGN KEY (tenant, conversation) REFERENCES conversations (tenant, id) ON DELETE CASCADE
);
CREATE INDEX call_logs_by_time ON call_logs (tenant, started_at DESC, call);
CREATE INDEX call_logs_by_conversation ON call_logs (tenant, conversation);
CALL keep_tenants_apart('call_logs', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');

CREATE TABLE turn_timings (
    tenant uuid NOT NULL,
    conversation uuid NOT NULL,
    turn integer NOT NULL,
    -- The run of the turn that reached the person.
    attempt bigint NOT NULL,
    -- [{"name", "at_us"}], as stamped on the way (DESIGN 3.6).
    stages jsonb NOT NULL,
    -- From the first stage to the last; the waterfall has the rest.
    began_at timestamptz NOT NULL,
    done_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, conversation, turn),
    FOREIGN KEY (tenant, conversation) REFERENCES conversations (tenant, id) ON DELETE CASCADE
);
CREATE INDEX turn_timings_by_time ON turn_timings (tenant, began_at DESC);
CALL keep_tenants_apart('turn_timings', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');
