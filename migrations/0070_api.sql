-- Who may use the API, and what a repeated write is answered (F1, E5).

-- A key as it is handed out is `sbk_{tenant}_{id}_{secret}`. It names its tenant, so that the look-up stays behind
-- row-level security; of the secret only the keyed hash is kept.
CREATE TABLE api_keys (
    tenant uuid NOT NULL REFERENCES tenants (id),
    -- The part that may be shown, by which people tell keys apart.
    id text NOT NULL CHECK (id ~ '^[0-9a-z]{12}$'),
    name text NOT NULL CHECK (name <> ''),
    role text NOT NULL CHECK (role IN ('read_only', 'operator', 'developer', 'admin')),
    secret_hash bytea NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    -- To the minute: a write per request would cost more than it tells.
    last_used_at timestamptz,
    PRIMARY KEY (tenant, id)
);
CALL keep_tenants_apart('api_keys', 'tenant', 'SELECT, INSERT, UPDATE');

-- Writes that carried an Idempotency-Key: the same again gets the same answer, without effect.
CREATE TABLE api_writes (
    tenant uuid NOT NULL REFERENCES tenants (id),
    actor text NOT NULL,
    key text NOT NULL,
    -- Of method, path and body: the same key with another request is refused.
    fingerprint bytea NOT NULL,
    -- NULL while the write is under way, or when nobody recorded how it ended.
    status smallint,
    -- The answer's data: it may speak of a person.
    answer_enc bytea,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, actor, key)
);
CREATE INDEX api_writes_by_time ON api_writes (tenant, at);
CALL keep_tenants_apart('api_writes', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');
