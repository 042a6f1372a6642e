-- Contents of files that stand there plain, or under another key, give way to those of who writes them now: a digest is of the
-- plain text, so both are the same, and what is there could be of a key that is lost.

-- The magic and the key's name, and the length: they differ between plain and sealed, and between two keys.
CREATE FUNCTION content_form(p_content bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT substr(p_content, 1, 9) || int4send(octet_length(p_content))
$$;

CREATE OR REPLACE FUNCTION put_files(
    p_thread text, p_epoch bigint, p_digests text[], p_contents bytea[], p_changes jsonb
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_runner(p_thread, p_epoch);
    PERFORM pg_advisory_xact_lock_shared(contents_key());
    INSERT INTO file_contents AS f (digest, content)
    SELECT c.digest, c.content FROM unnest(p_digests, p_contents) AS c (digest, content)
    ORDER BY c.digest                         -- two that write the same ones wait for each other in one order
    ON CONFLICT (digest) DO UPDATE SET content = EXCLUDED.content
    WHERE content_form(f.content) <> content_form(EXCLUDED.content);
    INSERT INTO file_changes (thread_id, path, before, after, size, mode, link, left_out, mtime_ns, inode,
                              checkpoint_ns, checkpoint_id, task_id, subtask, tool, call, beside, made_at)
    SELECT p_thread, c.path, c.before, c.after, c.size, c.mode, c.link, c.left_out, c.mtime_ns, c.inode,
           c.checkpoint_ns, c.checkpoint_id, c.task_id, c.subtask, c.tool, c.call, c.beside, c.made_at
    FROM jsonb_to_recordset(p_changes) AS c (
        path text, before text, after text, size bigint, mode int, link text, left_out text, mtime_ns bigint,
        inode bigint, checkpoint_ns text, checkpoint_id text, task_id text, subtask text, tool text, call text,
        beside jsonb, made_at timestamptz);
END $$;
