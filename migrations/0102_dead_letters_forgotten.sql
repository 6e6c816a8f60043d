-- Dead letters hold people's words: those that are settled go after a while, with what was done to them (F5). One that
-- waits for somebody never does. Gives how many went, at most `at_most`.
CREATE FUNCTION forget_dead_letters(untouched_since timestamptz, at_most bigint)
    RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH forgotten AS (
        DELETE FROM dead_letters WHERE number IN (
            SELECT l.number FROM dead_letters l
            WHERE l.state IN ('processed', 'failed', 'discarded') AND l.died_at < untouched_since
                AND NOT EXISTS (
                    SELECT FROM dead_letter_acts a WHERE a.letter = l.number AND a.at >= untouched_since)
            ORDER BY l.number LIMIT at_most)
        RETURNING number)
    SELECT count(*) FROM forgotten
$$;
REVOKE ALL ON FUNCTION forget_dead_letters(timestamptz, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_dead_letters(timestamptz, bigint) TO switchboard_service;
