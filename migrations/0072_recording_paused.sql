-- Where a recording was paused (B4): whoever listens to it is to know why it is silent there.

-- [{"from_ms", "to_ms"}], in order; NULL for a recording that was not paused.
ALTER TABLE call_logs ADD COLUMN recording_paused jsonb;
