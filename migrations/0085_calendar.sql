-- An appointment in people's own calendars (A6): it stays the same entry however often it is moved, and each change of it has a
-- higher number (RFC 5545, UID and SEQUENCE).
ALTER TABLE appointments
    -- The first of those that were moved on to this one; NULL for one that was not moved here.
    ADD COLUMN moved_from_first uuid,
    -- How often it was moved.
    ADD COLUMN moves integer NOT NULL DEFAULT 0;
