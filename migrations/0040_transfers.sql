-- Whether a call was handed to a human, and whether somebody took it (A7).
ALTER TABLE call_logs
    ADD COLUMN transfer_status text CHECK (transfer_status IN ('dialled', 'answered', 'returned')),
    ADD COLUMN transfer_at timestamptz;
