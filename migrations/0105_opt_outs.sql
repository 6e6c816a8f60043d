-- Who wants no more messages from one of our numbers: STOP and START by text message (issue 5, PROTOCOLS 1.6).
CREATE TABLE opt_outs (
    tenant uuid NOT NULL REFERENCES tenants (id),
    channel text NOT NULL,
    our_address text NOT NULL,
    person_hash bytea NOT NULL,
    is_out boolean NOT NULL,
    -- When the person said so, or the vendor.
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, channel, our_address, person_hash)
);
CALL keep_tenants_apart('opt_outs', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');
