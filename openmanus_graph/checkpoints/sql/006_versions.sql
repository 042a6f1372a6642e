-- Versions: with which graph a thread goes on, and when it was made to go on with one that does not fit.
ALTER TABLE threads
    ADD COLUMN fingerprint jsonb,                 -- what the graph that ran it last is like; null: not known
    ADD COLUMN forced jsonb NOT NULL DEFAULT '[]'; -- [{"at", "differences"}]: it was gone on with all the same
