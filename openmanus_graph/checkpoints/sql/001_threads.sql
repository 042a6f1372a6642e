-- Threads: what a resume needs and what lists show, one row a thread.
CREATE TABLE threads (
    thread_id    text PRIMARY KEY,
    graph        jsonb NOT NULL,              -- how to build the graph again
    title        text NOT NULL DEFAULT '',
    plan         jsonb,                       -- the plan as last given
    plan_file    text,                        -- the file it came from, if any
    settings     jsonb NOT NULL DEFAULT '{}', -- settings that matter: max_parallel, resources
    sandbox      text NOT NULL DEFAULT 'auto',
    workspace    text,
    status       text NOT NULL DEFAULT 'running',
    progress     jsonb NOT NULL DEFAULT '{}', -- {"done": 3, "total": 15, ...}
    questions    jsonb NOT NULL DEFAULT '[]', -- open interrupts: id, subtask, question
    error        text,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at  timestamptz,
    runner_epoch bigint NOT NULL DEFAULT 0,
    runner       jsonb,                       -- {"host", "pid", "command"} of the last runner
    runner_since timestamptz
);

-- Epochs never repeat, not even for a thread that was deleted and made again under the same id.
CREATE SEQUENCE runner_epochs;

CREATE INDEX threads_updated ON threads (updated_at DESC);

-- Answers that arrived while a runner held the thread; the runner takes them.
CREATE TABLE answers (
    thread_id    text NOT NULL REFERENCES threads ON DELETE CASCADE,
    interrupt_id text NOT NULL,
    value        jsonb NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (thread_id, interrupt_id)
);

-- The key of the session lock that a thread's runner holds, as long as its own connection lives.
CREATE FUNCTION runner_key(p_thread text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT hashtextextended('openmanus_graph.runner:' || p_thread, 0) $$;

-- The key of the lock that orders checkpoint writes against a change of runner.
CREATE FUNCTION fence_key(p_thread text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT hashtextextended('openmanus_graph.fence:' || p_thread, 0) $$;

-- First statement of every transaction that writes a checkpoint: it fails unless the writer is still the
-- thread's runner, or, for a writer without an epoch (an edit of the state by hand), nobody is.
-- Read-committed plpgsql takes a new snapshot for the SELECT, so it sees the epoch as it is once the lock is held.
CREATE FUNCTION check_runner(p_thread text, p_epoch bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_epoch bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(fence_key(p_thread));
    IF p_epoch IS NULL THEN
        IF NOT pg_try_advisory_xact_lock_shared(runner_key(p_thread)) THEN
            RAISE EXCEPTION 'thread % has a runner', p_thread USING ERRCODE = 'OM002';
        END IF;
        RETURN;
    END IF;
    SELECT runner_epoch INTO v_epoch FROM threads WHERE thread_id = p_thread;
    IF v_epoch IS DISTINCT FROM p_epoch THEN
        RAISE EXCEPTION 'runner epoch % of thread % is over, now %', p_epoch, p_thread, v_epoch
            USING ERRCODE = 'OM001';
    END IF;
END $$;

-- Whether a live runner holds the thread.
CREATE FUNCTION has_runner(p_thread text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT 1 FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND classid = ((runner_key(p_thread) >> 32) & 4294967295)::oid
          AND objid = (runner_key(p_thread) & 4294967295)::oid
    )
$$;

-- One statement a checkpoint and one a task's writes: the fence, the rows and the commit in a single round trip.
CREATE FUNCTION put_checkpoint(
    p_thread text, p_epoch bigint, p_ns text, p_id text, p_parent text, p_checkpoint jsonb, p_metadata jsonb,
    p_channels text[], p_versions text[], p_types text[], p_blobs bytea[]
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_runner(p_thread, p_epoch);
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT p_thread, p_ns, b.channel, b.version, b.type, b.blob
    FROM unnest(p_channels, p_versions, p_types, p_blobs) AS b (channel, version, type, blob)
    ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING;
    INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
    VALUES (p_thread, p_ns, p_id, p_parent, p_checkpoint, p_metadata)
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
    DO UPDATE SET checkpoint = EXCLUDED.checkpoint, metadata = EXCLUDED.metadata;
END $$;

CREATE FUNCTION put_writes(
    p_thread text, p_epoch bigint, p_ns text, p_id text, p_task text, p_path text, p_replace boolean,
    p_indexes int[], p_channels text[], p_types text[], p_blobs bytea[]
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_runner(p_thread, p_epoch);
    INSERT INTO checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    SELECT p_thread, p_ns, p_id, p_task, p_path, w.idx, w.channel, w.type, w.blob
    FROM unnest(p_indexes, p_channels, p_types, p_blobs) AS w (idx, channel, type, blob)
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
    DO UPDATE SET channel = EXCLUDED.channel, type = EXCLUDED.type, blob = EXCLUDED.blob
    WHERE p_replace;
END $$;
