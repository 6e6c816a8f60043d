-- What makes handlers idempotent, and what operators need.

-- An event a consumer has taken effect of, in the transaction of the effect (DESIGN 2).
CREATE TABLE claims (
    tenant uuid NOT NULL REFERENCES tenants (id),
    consumer text NOT NULL,
    event uuid NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, consumer, event)
);
CREATE INDEX claims_by_time ON claims USING brin (claimed_at);
CALL keep_tenants_apart('claims', 'tenant', 'SELECT, INSERT, DELETE');

-- A tool's effect and its row share a transaction, so that it happens once a turn (DESIGN 2).
CREATE TABLE effects (
    tenant uuid NOT NULL REFERENCES tenants (id),
    conversation uuid NOT NULL,
    turn integer NOT NULL,
    -- The tool call's name within the turn.
    call text NOT NULL,
    -- What the tool answered: it may speak of a person.
    result_enc bytea NOT NULL,
    happened_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, conversation, turn, call)
);
CALL keep_tenants_apart('effects', 'tenant', 'SELECT, INSERT, DELETE');

-- What is to happen later (DESIGN 5).
CREATE TABLE due (
    tenant uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    -- The whole envelope: it may speak of a person.
    event_enc bytea NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX due_by_time ON due (at, tenant, id);
CALL keep_tenants_apart('due', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');

CREATE TABLE escalations (
    tenant uuid NOT NULL,
    -- The id of the event that asked for a human.
    id uuid NOT NULL,
    conversation uuid NOT NULL,
    reason text NOT NULL,
    summary_enc bytea NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'taken', 'closed')),
    requested_at timestamptz NOT NULL,
    taken_by text,
    taken_at timestamptz,
    closed_at timestamptz,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, conversation) REFERENCES conversations (tenant, id) ON DELETE CASCADE
);
CREATE INDEX escalations_by_status ON escalations (tenant, status, requested_at, id);
CREATE INDEX escalations_by_conversation ON escalations (tenant, conversation);
CALL keep_tenants_apart('escalations', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');

-- Who changed what (E5). The services add to it and read it; nobody of theirs changes it.
CREATE TABLE audit_log (
    tenant uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant, id)
);
CREATE INDEX audit_log_by_time ON audit_log (tenant, at DESC, id);
CALL keep_tenants_apart('audit_log', 'tenant', 'SELECT, INSERT');
