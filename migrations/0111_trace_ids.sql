-- The trace of each turn: what its hops are found by among the spans, and in the trace that is written of a conversation (D5).
ALTER TABLE turn_timings ADD COLUMN trace_id text;
