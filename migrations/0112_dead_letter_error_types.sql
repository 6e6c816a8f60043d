-- Why a letter was given up, as a word beside the text (F5): what letters are found and counted by. Of those that are here already
-- nobody said it.
ALTER TABLE dead_letters ADD COLUMN error_type text NOT NULL DEFAULT 'unknown';

-- As in 0097; a view takes a new column at its end alone.
CREATE OR REPLACE VIEW own_dead_letters WITH (security_barrier) AS
    SELECT l.number, l.queue, l.message_group, l.reason, l.starts, l.receives, l.sent_at, l.died_at, l.conversation, l.event,
        l.event_name, l.turn, l.replays, l.occurred_at, l.expires_at, l.trace_id, l.build, l.body_enc, l.wrapped_key, l.state,
        EXISTS (SELECT FROM parked_groups p WHERE p.message_group = l.message_group) AS is_parked,
        l.error_type
    FROM dead_letters l
    WHERE l.tenant = nullif(current_setting('app.tenant', true), '')::uuid;
