-- A document as it was given, for whoever reads or mends it: its pieces are cut, and trimmed.

-- NULL for what was put in before this step; its pieces stand in for it.
ALTER TABLE knowledge_documents ADD COLUMN text text;
