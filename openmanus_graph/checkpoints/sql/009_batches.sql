-- Checkpoints and tasks' writes of one runner that are asked for at the same time: one fence, one commit.
-- p_rows: {"checkpoints": [...], "blobs": [...], "writes": [...]}, whose "at" counts into p_blobs from 1. No two rows are of
-- the same checkpoint or of the same task; the same value may be there twice.
CREATE FUNCTION put_batch(p_thread text, p_epoch bigint, p_rows jsonb, p_blobs bytea[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_runner(p_thread, p_epoch);
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT p_thread, b.ns, b.channel, b.version, b.type, u.blob
    FROM jsonb_to_recordset(p_rows -> 'blobs') AS b (ns text, channel text, version text, type text, at bigint)
    JOIN unnest(p_blobs) WITH ORDINALITY AS u (blob, at) USING (at)
    ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING;
    INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
    SELECT p_thread, c.ns, c.id, c.parent, c.checkpoint, c.metadata
    FROM jsonb_to_recordset(p_rows -> 'checkpoints')
        AS c (ns text, id text, parent text, checkpoint jsonb, metadata jsonb)
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
    DO UPDATE SET checkpoint = EXCLUDED.checkpoint, metadata = EXCLUDED.metadata;
    INSERT INTO checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    SELECT p_thread, w.ns, w.id, w.task, w.path, w.idx, w.channel, w.type, u.blob
    FROM jsonb_to_recordset(p_rows -> 'writes')
        AS w (ns text, id text, task text, path text, idx int, channel text, type text, at bigint)
    JOIN unnest(p_blobs) WITH ORDINALITY AS u (blob, at) USING (at)
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO NOTHING;
    INSERT INTO checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    SELECT p_thread, w.ns, w.id, w.task, w.path, w.idx, w.channel, w.type, u.blob
    FROM jsonb_to_recordset(p_rows -> 'replacing')
        AS w (ns text, id text, task text, path text, idx int, channel text, type text, at bigint)
    JOIN unnest(p_blobs) WITH ORDINALITY AS u (blob, at) USING (at)
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
    DO UPDATE SET channel = EXCLUDED.channel, type = EXCLUDED.type, blob = EXCLUDED.blob;
END $$;
