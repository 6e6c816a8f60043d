-- Services, hours and holidays, and what a booking needs besides (C6).

CREATE TABLE services (
    tenant uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    name text NOT NULL CHECK (name <> ''),
    -- How long an appointment takes; under a day, so that what may overlap a moment is found by
    -- its start.
    minutes integer NOT NULL CHECK (minutes BETWEEN 5 AND 720),
    -- Appointments start at whole steps from the opening on.
    step_minutes integer NOT NULL DEFAULT 30 CHECK (step_minutes BETWEEN 5 AND 720),
    -- The lowest is the one that is meant where a person names none.
    position integer NOT NULL DEFAULT 0,
    enabled boolean NOT NULL DEFAULT true,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
);
CALL keep_tenants_apart('services', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');

-- Which resources give a service.
CREATE TABLE service_resources (
    tenant uuid NOT NULL,
    service uuid NOT NULL,
    resource bigint NOT NULL,
    PRIMARY KEY (tenant, service, resource),
    FOREIGN KEY (tenant, service) REFERENCES services (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, resource) REFERENCES resources (tenant, number) ON DELETE CASCADE
);
CREATE INDEX service_resources_by_resource ON service_resources (tenant, resource);
CALL keep_tenants_apart('service_resources', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');

-- By the business's own clock: the time zone stands in the tenant's settings. Two rows a day make a
-- lunch break.
CREATE TABLE business_hours (
    tenant uuid NOT NULL REFERENCES tenants (id),
    -- ISO 8601: 1 is Monday.
    weekday smallint NOT NULL CHECK (weekday BETWEEN 1 AND 7),
    opens time NOT NULL,
    closes time NOT NULL CHECK (closes > opens),
    PRIMARY KEY (tenant, weekday, opens)
);
CALL keep_tenants_apart('business_hours', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');

CREATE TABLE holidays (
    tenant uuid NOT NULL REFERENCES tenants (id),
    day date NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (tenant, day)
);
CALL keep_tenants_apart('holidays', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');

-- Range operators and lower() may leak, so under row-level security no index on them is used: the
-- two ends stand as plain columns.
ALTER TABLE appointments
    ADD COLUMN starts_at timestamptz NOT NULL GENERATED ALWAYS AS (lower(during)) STORED,
    ADD COLUMN ends_at timestamptz NOT NULL GENERATED ALWAYS AS (upper(during)) STORED,
    ADD CONSTRAINT within_a_day CHECK (upper(during) - lower(during) <= interval '24 hours'),
    -- How the person is reached about it: the channel, and which of our addresses writes.
    ADD COLUMN channel text,
    ADD COLUMN our_address text,
    ADD COLUMN notes_enc bytea,
    -- The appointment this one was moved to.
    ADD COLUMN moved_to uuid;
CREATE INDEX appointments_booked ON appointments (tenant, starts_at, resource)
    WHERE status = 'booked';
DROP INDEX appointments_by_start;
CREATE INDEX appointments_by_start ON appointments (tenant, starts_at, id);
CREATE INDEX appointments_by_conversation ON appointments (tenant, conversation)
    WHERE conversation IS NOT NULL;

-- Which tenants have something due, for whoever delivers it. As every_tenants_settings(), it enters
-- one tenant after the other and steps around nothing.
CREATE FUNCTION tenants_with_due(until timestamptz)
    RETURNS SETOF uuid
    LANGUAGE plpgsql AS $$
DECLARE
    entered uuid;
BEGIN
    FOR entered IN SELECT DISTINCT a.tenant FROM addresses a ORDER BY 1 LOOP
        PERFORM set_config('app.tenant', entered::text, true);
        IF EXISTS (SELECT FROM due d WHERE d.at <= until) THEN
            RETURN NEXT entered;
        END IF;
    END LOOP;
    PERFORM set_config('app.tenant', '', true);
END
$$;
