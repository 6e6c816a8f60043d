-- A tenant's operators leave groups of their own dead letters alone, and let them go again, over the API (F5). The groups themselves
-- stay the operators'; a group is the tenant's where a letter of it is.
CREATE VIEW own_parked_groups WITH (security_barrier) AS
    SELECT p.message_group, p.reason, p.actor, p.parked_at, l.waiting
    FROM parked_groups p, LATERAL (
        SELECT count(*) AS letters, count(*) FILTER (WHERE d.state = 'waiting') AS waiting
        FROM dead_letters d
        WHERE d.message_group = p.message_group AND d.tenant = nullif(current_setting('app.tenant', true), '')::uuid) l
    WHERE l.letters > 0;
GRANT SELECT ON own_parked_groups TO switchboard_service;

-- Each says how many letters of the tenant's it has noted this for: none where it changed nothing.
CREATE FUNCTION park_own_group(of_group text, why text, done_by text)
    RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH own AS (
        SELECT number, message_group FROM dead_letters
        WHERE message_group = of_group AND tenant = nullif(current_setting('app.tenant', true), '')::uuid),
    parked AS (
        INSERT INTO parked_groups (message_group, reason, actor)
        SELECT of_group, why, done_by WHERE EXISTS (SELECT FROM own)
        ON CONFLICT DO NOTHING RETURNING message_group),
    noted AS (
        INSERT INTO dead_letter_acts (letter, act, actor, detail)
        SELECT own.number, 'park', done_by, why FROM own JOIN parked USING (message_group)
        RETURNING letter)
    SELECT count(*) FROM noted
$$;

CREATE FUNCTION release_own_group(of_group text, done_by text)
    RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH own AS (
        SELECT number, message_group FROM dead_letters
        WHERE message_group = of_group AND tenant = nullif(current_setting('app.tenant', true), '')::uuid),
    released AS (
        DELETE FROM parked_groups WHERE message_group = of_group AND EXISTS (SELECT FROM own)
        RETURNING message_group),
    noted AS (
        INSERT INTO dead_letter_acts (letter, act, actor)
        SELECT own.number, 'release', done_by FROM own JOIN released USING (message_group)
        RETURNING letter)
    SELECT count(*) FROM noted
$$;

REVOKE ALL ON FUNCTION park_own_group(text, text, text), release_own_group(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION park_own_group(text, text, text), release_own_group(text, text) TO switchboard_service;
