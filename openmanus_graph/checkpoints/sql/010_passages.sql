-- Owners of threads, and semantic memory: passages are the truth, a vector store is an index of their keys.

ALTER TABLE threads ADD COLUMN owner text NOT NULL DEFAULT ''; -- whose memory it uses; empty: begun before there were owners

CREATE TABLE passages (
    key        text PRIMARY KEY,                   -- made of owner, source and the source's own text: the same passage is one row
    owner      text NOT NULL,
    source     text NOT NULL,                      -- the path or address that it came from
    position   int NOT NULL,                       -- which part of its source, from 0
    text       text NOT NULL,
    meta       jsonb NOT NULL DEFAULT '{}',        -- of one edited by hand: edited, when and the digest of the source's own text
    thread     text,                               -- the thread that it was stored for; null: none
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    search     tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED,
    size       int GENERATED ALWAYS AS (length(to_tsvector('english', text))) STORED -- how many different words it has
);

-- A lexeme as a tsquery has it: plainto_tsquery wants all words of a text, and what asks for any of them is made of these.
CREATE FUNCTION quoted_lexeme(p_lexeme text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT '''' || replace(replace(p_lexeme, '\', '\\'), '''', '''''') || '''' $$;

-- Whether a passage stays as a person edited it although it is given anew: unless that has a later edit.
CREATE FUNCTION keeps_edit(p_there jsonb, p_given jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT p_there #>> '{edited,digest}' IS NOT NULL
        AND coalesce(p_given #>> '{edited,at}' <= p_there #>> '{edited,at}', true)
$$;

CREATE INDEX passages_search ON passages USING gin (search) WITH (fastupdate = off); -- else each search reads what is pending
CREATE INDEX passages_source ON passages (owner, source, position);
CREATE INDEX passages_thread ON passages (thread) WHERE thread IS NOT NULL;

-- Names this database in vector stores, which several databases may share.
CREATE TABLE memory_space (
    id       text PRIMARY KEY,
    database text NOT NULL                         -- which database it was made for: a copy is another one
);

CREATE FUNCTION this_database() RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT s.system_identifier || '/' || d.oid FROM pg_control_system() s, pg_database d WHERE d.datname = current_database()
$$;

INSERT INTO memory_space (id, database) VALUES (left(replace(gen_random_uuid()::text, '-', ''), 12), this_database());

-- Vector indexes that are kept like the passages: each place and embedder is one.
CREATE TABLE vector_targets (
    name     text PRIMARY KEY,
    seen_at  timestamptz NOT NULL DEFAULT clock_timestamp(), -- last used; one that nobody uses any more is dropped
    swept_at timestamptz                                     -- when all its keys were last compared; null: never
);

-- A row says: make the key in the index like the passage is now. It names no operation, so none can come too late.
CREATE SEQUENCE outbox_versions;

CREATE TABLE outbox (
    target   text NOT NULL REFERENCES vector_targets ON DELETE CASCADE,
    key      text NOT NULL,
    owner    text NOT NULL,
    version  bigint NOT NULL,               -- changes with the passage: only what was delivered is settled
    attempts int NOT NULL DEFAULT 0,
    next_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    error    text,                          -- of the last attempt, without secrets
    PRIMARY KEY (target, key)
);

CREATE INDEX outbox_due ON outbox (target, next_at);

-- The name of this database in vector stores. A copy gets its own, and forgets the indexes outside, which are another's.
CREATE FUNCTION own_memory_space() RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE memory_space SET id = left(replace(gen_random_uuid()::text, '-', ''), 12), database = this_database()
    WHERE database <> this_database();
    IF FOUND THEN
        DELETE FROM vector_targets WHERE NOT starts_with(name, 'pgvector ');
    END IF;
    RETURN (SELECT id FROM memory_space);
END $$;

CREATE FUNCTION targets_key() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT hashtextextended('openmanus_graph.vector_targets', 0) $$;

-- Asks every index to take over the state of some passages; the keys are sorted, so that two never wait for each other.
-- A new index asks for all passages under the same lock, exclusively: none is missed by both.
CREATE FUNCTION enqueue_passages(p_owner text, p_keys text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(targets_key());
    INSERT INTO outbox (target, key, owner, version)
    SELECT t.name, k.key, p_owner, nextval('outbox_versions')
    FROM vector_targets t CROSS JOIN (SELECT DISTINCT unnest(p_keys) AS key) k
    ORDER BY t.name, k.key
    ON CONFLICT (target, key) DO UPDATE SET
        version = EXCLUDED.version, attempts = 0, next_at = clock_timestamp(), error = NULL;
END $$;

-- Adds an index, which is then asked for every passage there is; says whether it is new.
CREATE FUNCTION add_target(p_name text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE vector_targets SET seen_at = clock_timestamp() WHERE name = p_name;
    IF FOUND THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(targets_key());
    INSERT INTO vector_targets (name) VALUES (p_name) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO outbox (target, key, owner, version)
    SELECT p_name, key, owner, nextval('outbox_versions') FROM passages ORDER BY key;
    RETURN true;
END $$;
