-- The advertisement or post that a message came from, as its vendor headlines it (A5).
ALTER TABLE messages ADD COLUMN referral_enc bytea;
