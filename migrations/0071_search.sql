-- Finding what was said by its words (F1).
--
-- Under row-level security only leakproof operators are looked up in an index, which those of text search are not. So the
-- look-up is a function of a role of its own, which sees all rows and shows the ids of the entered tenant's alone.

-- (Roles belong to the whole server: see 0001.)
DO $$
BEGIN
    CREATE ROLE switchboard_search NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'switchboard_search', 'MEMBER') THEN
        EXECUTE format('GRANT switchboard_search TO %I', current_user);
    END IF;
END
$$;
CREATE POLICY searched ON messages FOR SELECT TO switchboard_search USING (true);
GRANT SELECT (tenant, conversation, text) ON messages TO switchboard_search;

-- The words of a text, and the tenant among them: another tenant's letters of the same words cost nothing.
CREATE FUNCTION words_said(tenant uuid, text text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_tsvector('simple'::regconfig, text) || array_to_tsvector(ARRAY['@' || tenant::text]);

-- What is looked for among a tenant's: every word of `wanted`, or one that begins so. NULL where it has none.
CREATE FUNCTION words_wanted(tenant uuid, wanted text) RETURNS tsquery
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (SELECT ('''@' || tenant || ''' & '
                || string_agg('''' || replace(replace(word, '\', '\\'), '''', '''''') || ''':*', ' & '))::tsquery
            FROM unnest(tsvector_to_array(to_tsvector('simple'::regconfig, wanted))) AS word);

CREATE INDEX IF NOT EXISTS messages_by_words ON messages USING gin (words_said(tenant, text))
    WHERE text IS NOT NULL;

-- The conversations of the entered tenant in which `wanted` was said; none but one NULL where more than `most` messages
-- say it: whoever looks for so common a word walks the newest conversations, and soon has a page of them.
CREATE FUNCTION conversations_that_say(wanted text, most integer) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    -- How many messages say what begins so is not known beforehand: a planner that hopes for many reads the whole table.
    SET enable_seqscan = off AS $$
DECLARE
    found uuid[];
BEGIN
    -- Planned for these very words: a plan for any word would not know how common they are.
    EXECUTE 'SELECT array_agg(conversation) FROM (
            SELECT conversation FROM messages
            WHERE text IS NOT NULL AND words_said(tenant, text) @@ $1
            LIMIT $2 + 1) found'
        INTO found USING words_wanted(app_tenant(), wanted), most;
    IF cardinality(found) > most THEN
        RETURN NEXT NULL;
        RETURN;
    END IF;
    RETURN QUERY SELECT DISTINCT said FROM unnest(found) AS said;
END
$$;
-- Whoever is to own something in a schema must be able to make it there, at that moment.
GRANT USAGE, CREATE ON SCHEMA public TO switchboard_search;
ALTER FUNCTION conversations_that_say(text, integer) OWNER TO switchboard_search;
REVOKE CREATE ON SCHEMA public FROM switchboard_search;
REVOKE ALL ON FUNCTION conversations_that_say(text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION conversations_that_say(text, integer) TO switchboard_service;
