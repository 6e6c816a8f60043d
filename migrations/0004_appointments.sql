-- What can be booked, and the bookings (C6).

CREATE TABLE resources (
    tenant uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    -- Unique over all tenants. The exclusion constraint below needs a range of it, because a uuid
    -- has no GiST operators without btree_gist, which not every server has (DESIGN 7).
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    name text NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, number)
);
CALL keep_tenants_apart('resources', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');

CREATE TABLE appointments (
    tenant uuid NOT NULL,
    id uuid NOT NULL,
    resource bigint NOT NULL,
    during tstzrange NOT NULL
        CHECK (NOT isempty(during) AND lower_inc(during) AND NOT upper_inc(during)
            AND NOT lower_inf(during) AND NOT upper_inf(during)),
    status text NOT NULL CHECK (status IN ('booked', 'cancelled')),
    service text NOT NULL,
    user_id uuid,
    conversation uuid,
    customer_name_enc bytea,
    customer_phone_enc bytea,
    customer_phone_hash bytea,
    customer_email_enc bytea,
    customer_email_hash bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, resource) REFERENCES resources (tenant, number),
    FOREIGN KEY (tenant, user_id) REFERENCES users (tenant, id),
    -- No double booking under any concurrency: the database says so, not the code.
    CONSTRAINT no_double_booking EXCLUDE USING gist (
        int8range(resource, resource, '[]') WITH &&,
        during WITH &&
    ) WHERE (status = 'booked')
);
CREATE INDEX appointments_by_start ON appointments (tenant, lower(during), id);
CREATE INDEX appointments_by_user ON appointments (tenant, user_id, lower(during));
CREATE INDEX appointments_by_phone ON appointments (tenant, customer_phone_hash)
    WHERE customer_phone_hash IS NOT NULL;
CALL keep_tenants_apart('appointments', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');
