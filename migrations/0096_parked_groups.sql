-- Groups whose dead letters are left alone until they are released: somebody looks into them, and a replay of everything
-- must not touch them (F5). As the letters, it is the operators' and lies outside row-level security.
CREATE TABLE parked_groups (
    message_group text PRIMARY KEY,
    reason text NOT NULL,
    actor text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, DELETE ON parked_groups TO switchboard_operator;
CREATE INDEX dead_letters_by_group ON dead_letters (message_group);
