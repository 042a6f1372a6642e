-- Origin: where a thread was forked from, {"thread", "checkpoint", "namespace", "number", "step"}.
ALTER TABLE threads ADD COLUMN origin jsonb;

-- Contents of workspace files, each kept once however many threads and steps have it.
CREATE TABLE file_contents (
    digest  text PRIMARY KEY,                 -- SHA-256, hexadecimal
    content bytea NOT NULL
);

-- Changes of workspace files, each with the step that made it.
CREATE TABLE file_changes (
    thread_id     text NOT NULL REFERENCES threads ON DELETE CASCADE,
    number        bigint GENERATED ALWAYS AS IDENTITY,
    path          text NOT NULL,              -- in the workspace
    before        text,                       -- digest; null: there was none, or it is not known
    after         text,                       -- digest; null: gone, or not read
    size          bigint,                     -- bytes after; null: gone
    mode          int,                        -- permission bits after
    link          text,                       -- where it points, if it is a symbolic link
    left_out      text,                       -- why the content is not kept; null: it is
    mtime_ns      bigint,
    inode         bigint,
    checkpoint_ns text,                       -- the checkpoint whose step made it; null: no step did
    checkpoint_id text,
    task_id       text,
    subtask       text,
    tool          text,
    call          text,
    beside        jsonb NOT NULL DEFAULT '[]', -- other steps that were at work at the time
    made_at       timestamptz NOT NULL,
    PRIMARY KEY (thread_id, number)
);

CREATE INDEX file_changes_after ON file_changes (after);
CREATE INDEX file_changes_before ON file_changes (before);

-- The key of the lock that keeps contents from being removed while a change that needs them is written.
CREATE FUNCTION contents_key() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT hashtextextended('openmanus_graph.file_contents', 0) $$;

-- One statement a step: the fence, the contents that are new, and the changes.
CREATE FUNCTION put_files(
    p_thread text, p_epoch bigint, p_digests text[], p_contents bytea[], p_changes jsonb
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_runner(p_thread, p_epoch);
    PERFORM pg_advisory_xact_lock_shared(contents_key());
    INSERT INTO file_contents (digest, content)
    SELECT c.digest, c.content FROM unnest(p_digests, p_contents) AS c (digest, content)
    ON CONFLICT (digest) DO NOTHING;
    INSERT INTO file_changes (thread_id, path, before, after, size, mode, link, left_out, mtime_ns, inode,
                              checkpoint_ns, checkpoint_id, task_id, subtask, tool, call, beside, made_at)
    SELECT p_thread, c.path, c.before, c.after, c.size, c.mode, c.link, c.left_out, c.mtime_ns, c.inode,
           c.checkpoint_ns, c.checkpoint_id, c.task_id, c.subtask, c.tool, c.call, c.beside, c.made_at
    FROM jsonb_to_recordset(p_changes) AS c (
        path text, before text, after text, size bigint, mode int, link text, left_out text, mtime_ns bigint,
        inode bigint, checkpoint_ns text, checkpoint_id text, task_id text, subtask text, tool text, call text,
        beside jsonb, made_at timestamptz);
END $$;

-- Contents that only the given ones of a removed thread had; called by whoever removes changes.
CREATE FUNCTION remove_contents(p_digests text[]) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_count bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(contents_key());
    DELETE FROM file_contents c
    WHERE c.digest = ANY(p_digests)
      AND NOT EXISTS (SELECT 1 FROM file_changes f WHERE f.after = c.digest)
      AND NOT EXISTS (SELECT 1 FROM file_changes f WHERE f.before = c.digest);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;
