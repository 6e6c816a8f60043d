-- Tenants, their addresses, and what keeps tenants apart (D2).

CREATE EXTENSION IF NOT EXISTS vector;

-- The role every service works under. It owns nothing and cannot step around row-level security.
-- Roles belong to the whole server: another database's migration may have made it, or be making it.
DO $$
BEGIN
    CREATE ROLE switchboard_service NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

-- An owner who is no superuser must be able to SET ROLE, where one URL serves both purposes.
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'switchboard_service', 'MEMBER') THEN
        EXECUTE format('GRANT switchboard_service TO %I', current_user);
    END IF;
END
$$;

-- The tenant of the running transaction; NULL, which matches no row, outside of one.
CREATE FUNCTION app_tenant() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('app.tenant', true), '')::uuid;

-- Puts a table under row-level security, for its owner too, and grants the services `privileges`.
CREATE PROCEDURE keep_tenants_apart(target regclass, tenant_column name, privileges text)
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format(
        'CREATE POLICY tenant_only ON %s USING (%I = app_tenant()) WITH CHECK (%I = app_tenant())',
        target, tenant_column, tenant_column);
    EXECUTE format('GRANT %s ON %s TO switchboard_service', privileges, target);
END
$$;
REVOKE ALL ON PROCEDURE keep_tenants_apart(regclass, name, text) FROM PUBLIC;

CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    -- What domain::TenantSettings reads; a wrong value is refused there, with the reason.
    settings jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    -- The data key of the tenant's personal fields, wrapped by KMS; made at first use (D3).
    wrapped_key bytea,
    -- Whether message text is encrypted too, at the price of text search (D3).
    encrypt_text boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CALL keep_tenants_apart('tenants', 'id', 'SELECT, INSERT, UPDATE');

-- Which tenant a call or message is for is decided by it, before any tenant is known: it lies
-- outside row-level security, alone (DESIGN 5). It holds nothing personal.
CREATE TABLE addresses (
    channel text NOT NULL,
    address text NOT NULL,
    display text,
    tenant uuid NOT NULL REFERENCES tenants (id),
    mode text NOT NULL CHECK (mode IN ('media_stream', 'gather', 'chat')),
    -- The name of the secret with the address's own vendor credentials.
    credentials text,
    PRIMARY KEY (channel, address)
);
CREATE INDEX addresses_by_tenant ON addresses (tenant);
GRANT SELECT ON addresses TO switchboard_service;

-- Every tenant's settings in one round trip, for the tasks that hold them all in memory. It enters
-- one tenant after the other, as any transaction of the services may; it steps around nothing.
CREATE FUNCTION every_tenants_settings()
    RETURNS TABLE (id uuid, slug text, settings jsonb)
    LANGUAGE plpgsql AS $$
DECLARE
    entered uuid;
BEGIN
    FOR entered IN SELECT DISTINCT a.tenant FROM addresses a ORDER BY 1 LOOP
        PERFORM set_config('app.tenant', entered::text, true);
        RETURN QUERY SELECT t.id, t.slug, t.settings FROM tenants t;
    END LOOP;
    PERFORM set_config('app.tenant', '', true);
END
$$;
