-- Words that very many messages say are not looked up any more (F1).
--
-- An index of words gives all messages of a word before the first of them is looked at: of one that is in millions, and of all
-- that begin with a wanted word, in a second and more. How common a word is the tenant's latest messages tell.

GRANT SELECT (occurred_at) ON messages TO switchboard_search;

-- The conversations of the entered tenant in which `wanted` was said; none but one NULL where more than `most` messages
-- say it, or many of the latest: whoever looks for so common a word walks the newest conversations, and soon has a page of them.
CREATE OR REPLACE FUNCTION conversations_that_say(wanted text, most integer) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    -- How many messages say what begins so is not known beforehand: a planner that hopes for many reads the whole table.
    SET enable_seqscan = off
    -- Where the places of many messages do not fit, each message near them has to be read and taken apart.
    SET work_mem = '64MB' AS $$
DECLARE
    latest CONSTANT integer := 500;
    -- Of the latest. What is in a page of conversations soon ...
    everywhere CONSTANT integer := 25;
    -- ... and a word that would exclude little.
    everyday CONSTANT integer := 125;
    looked_for CONSTANT tsquery := words_wanted(app_tenant(), wanted);
    is_everywhere boolean;
    telling tsquery;
    found uuid[];
BEGIN
    IF looked_for IS NULL THEN
        RETURN;
    END IF;
    WITH lately AS MATERIALIZED (
        SELECT words_said(tenant, text) AS said FROM messages
        WHERE tenant = app_tenant() AND text IS NOT NULL ORDER BY occurred_at DESC LIMIT latest)
    SELECT (SELECT count(*) FROM lately WHERE said @@ looked_for) > everywhere,
        (SELECT words_wanted(app_tenant(), string_agg(word, ' '))
            FROM unnest(tsvector_to_array(to_tsvector('simple'::regconfig, wanted))) AS word
            WHERE (SELECT count(*) FROM lately WHERE said @@ words_wanted(app_tenant(), word)) <= everyday)
        INTO is_everywhere, telling;
    IF is_everywhere THEN
        RETURN NEXT NULL;
        RETURN;
    END IF;
    -- Planned for these very words: a plan for any word would not know how common they are. Where words were left out, the
    -- messages that were found are asked for them: what is compared with `true` the index is not asked for.
    EXECUTE 'SELECT array_agg(conversation) FROM (
            SELECT conversation FROM messages
            WHERE text IS NOT NULL AND words_said(tenant, text) @@ $1
                AND ($2 IS NULL OR (words_said(tenant, text) @@ $2) IS TRUE)
            LIMIT $3 + 1) found'
        INTO found USING coalesce(telling, looked_for),
            CASE WHEN telling IS NULL THEN NULL ELSE nullif(looked_for, telling) END, most;
    IF cardinality(found) > most THEN
        RETURN NEXT NULL;
        RETURN;
    END IF;
    RETURN QUERY SELECT DISTINCT said FROM unnest(found) AS said;
END
$$;

-- What a text has to hold to say every word of `wanted`: read much sooner than its words are. For ILIKE ALL.
CREATE FUNCTION words_like(wanted text) RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (SELECT coalesce(array_agg('%' || replace(word, '\', '\\') || '%'), '{}')
            FROM unnest(tsvector_to_array(to_tsvector('simple'::regconfig, wanted))) AS word);
