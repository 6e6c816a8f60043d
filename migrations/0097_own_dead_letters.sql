-- A tenant's own dead letters, for the API (F5). The table itself stays the operators'; here the services see what belongs to the
-- tenant whose transaction it is, and may move it on.
CREATE VIEW own_dead_letters WITH (security_barrier) AS
    SELECT l.number, l.queue, l.message_group, l.reason, l.starts, l.receives, l.sent_at, l.died_at, l.conversation, l.event,
        l.event_name, l.turn, l.replays, l.occurred_at, l.expires_at, l.trace_id, l.build, l.body_enc, l.wrapped_key, l.state,
        EXISTS (SELECT FROM parked_groups p WHERE p.message_group = l.message_group) AS is_parked
    FROM dead_letters l
    WHERE l.tenant = nullif(current_setting('app.tenant', true), '')::uuid;
GRANT SELECT, UPDATE (state) ON own_dead_letters TO switchboard_service;

CREATE VIEW own_dead_letter_acts WITH (security_barrier) AS
    SELECT a.letter, a.at, a.act, a.actor, a.detail
    FROM dead_letter_acts a JOIN dead_letters l ON l.number = a.letter
    WHERE l.tenant = nullif(current_setting('app.tenant', true), '')::uuid;
GRANT SELECT ON own_dead_letter_acts TO switchboard_service;

CREATE FUNCTION note_own_dead_letter(of_letter bigint, done text, done_by text, told text)
    RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO dead_letter_acts (letter, act, actor, detail)
    SELECT l.number, done, done_by, told FROM dead_letters l
    WHERE l.number = of_letter AND l.tenant = nullif(current_setting('app.tenant', true), '')::uuid
$$;
REVOKE ALL ON FUNCTION note_own_dead_letter(bigint, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION note_own_dead_letter(bigint, text, text, text) TO switchboard_service;
CREATE INDEX dead_letters_by_tenant ON dead_letters (tenant, number DESC);
