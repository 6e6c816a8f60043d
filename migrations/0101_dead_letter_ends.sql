-- What became of replays, found out by the writer as well as by operators' tools (F5), and an alarm that goes by all that
-- needs somebody and by nothing else (F4).

-- Letters that need somebody: nobody has done anything about them; or a replay was begun a quarter of an hour ago, and it is
-- not known whether it was sent or what came of it. Those of a parked group have somebody, and a job whose time is over is
-- of no use to anybody.
CREATE OR REPLACE FUNCTION dead_letters_waiting()
    RETURNS TABLE (queue text, letters bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT l.queue, count(*) FROM dead_letters l
    WHERE (l.state = 'waiting'
            OR (l.state IN ('pending', 'published') AND NOT EXISTS (
                SELECT FROM dead_letter_acts a
                WHERE a.letter = l.number AND a.act IN ('replay', 'published')
                    AND a.at > now() - interval '15 minutes')))
        AND (l.expires_at IS NULL OR l.expires_at > now())
        AND NOT EXISTS (SELECT FROM parked_groups p WHERE p.message_group = l.message_group)
    GROUP BY l.queue
$$;

-- Replays of which it is not known how they ended, by queue.
CREATE FUNCTION open_replays()
    RETURNS TABLE (queue text, number bigint, event uuid, replays integer)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT l.queue, l.number, l.event, l.replays FROM dead_letters l
    WHERE l.state IN ('pending', 'published') AND l.event IS NOT NULL
    ORDER BY l.queue, l.number LIMIT 20000
$$;
REVOKE ALL ON FUNCTION open_replays() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_replays() TO switchboard_service, switchboard_operator;

-- Notes that replays have ended: handled, or without effect for the reason that is told.
CREATE FUNCTION end_replays(of_letters bigint[], is_handled boolean, told text)
    RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH ended AS (
        UPDATE dead_letters SET state = CASE WHEN is_handled THEN 'processed' ELSE 'failed' END
        WHERE number = ANY (of_letters) AND state IN ('pending', 'published')
        RETURNING number, state)
    INSERT INTO dead_letter_acts (letter, act, actor, detail)
    SELECT number, state, 'the consumer', told FROM ended
$$;
REVOKE ALL ON FUNCTION end_replays(bigint[], boolean, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION end_replays(bigint[], boolean, text) TO switchboard_service, switchboard_operator;

-- Notes which replays have died again: each has a letter of its own with one replay more.
CREATE FUNCTION end_replays_that_died()
    RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH failed AS (
        UPDATE dead_letters l SET state = 'failed'
        WHERE l.state IN ('pending', 'published') AND EXISTS (
            SELECT FROM dead_letters later
            WHERE later.event = l.event AND later.queue = l.queue AND later.replays > l.replays)
        RETURNING l.number)
    INSERT INTO dead_letter_acts (letter, act, actor)
    SELECT number, 'failed', 'the consumer' FROM failed
$$;
REVOKE ALL ON FUNCTION end_replays_that_died() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION end_replays_that_died() TO switchboard_service, switchboard_operator;
