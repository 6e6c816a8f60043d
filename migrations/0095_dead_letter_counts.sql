-- How many dead letters wait, for the alarm (F4). The services may not read the letters; how many there are they may know.
CREATE FUNCTION dead_letters_waiting()
    RETURNS TABLE (queue text, letters bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT l.queue, count(*) FROM dead_letters l WHERE l.state = 'waiting' GROUP BY l.queue
$$;
REVOKE ALL ON FUNCTION dead_letters_waiting() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dead_letters_waiting() TO switchboard_service;
