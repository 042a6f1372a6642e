-- Encryption: the keys that texts and values of a thread were encrypted with, by name; empty: none was set.
ALTER TABLE threads ADD COLUMN encrypted_with text[] NOT NULL DEFAULT '{}';
