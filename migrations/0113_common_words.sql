-- Words that many messages say are found sooner (F1).

-- Where the places of many messages do not fit, each message near them has to be read and taken apart.
ALTER FUNCTION conversations_that_say(text, integer) SET work_mem = '64MB';

-- What a text has to hold to say every word of `wanted`: read much sooner than its words are. For ILIKE ALL; NULL, which no text
-- is like, where it has none.
CREATE FUNCTION words_like(wanted text) RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (SELECT array_agg('%' || replace(word, '\', '\\') || '%')
            FROM unnest(tsvector_to_array(to_tsvector('simple'::regconfig, wanted))) AS word);
