-- Agents and routing rules, per tenant, changed without a deploy (C3).

CREATE TABLE agent_metadata (
    tenant uuid NOT NULL REFERENCES tenants (id),
    name text NOT NULL,
    kind text NOT NULL,
    config jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(config) = 'object'),
    enabled boolean NOT NULL DEFAULT true,
    -- Grows with every change, so that a task can tell whether it holds the newest.
    version bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, name)
);
CALL keep_tenants_apart('agent_metadata', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');

CREATE TABLE routing_rules (
    tenant uuid NOT NULL,
    id uuid NOT NULL,
    -- Rules are tried from the lowest number on.
    priority integer NOT NULL,
    condition jsonb NOT NULL CHECK (jsonb_typeof(condition) = 'object'),
    agent text NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, agent) REFERENCES agent_metadata (tenant, name) ON DELETE CASCADE
);
CREATE INDEX routing_rules_by_priority ON routing_rules (tenant, priority, id);
CREATE INDEX routing_rules_by_agent ON routing_rules (tenant, agent);
CALL keep_tenants_apart('routing_rules', 'tenant', 'SELECT, INSERT, UPDATE, DELETE');
