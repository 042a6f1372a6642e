-- Searches: what search engines found for a thread, so that the thread asks the same only once for a while.
CREATE TABLE searches (
    thread_id text NOT NULL REFERENCES threads ON DELETE CASCADE,
    key       text NOT NULL,                 -- digest of words, number, language, country and engines
    found     jsonb NOT NULL,                -- the engine and its results
    made_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (thread_id, key)
);

-- Keeps what a search found in place of what an earlier one like it did, and no more than so many of a thread.
CREATE FUNCTION keep_search(p_thread text, p_epoch bigint, p_key text, p_found jsonb, p_most int) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_runner(p_thread, p_epoch);
    INSERT INTO searches (thread_id, key, found) VALUES (p_thread, p_key, p_found)
    ON CONFLICT (thread_id, key) DO UPDATE SET found = EXCLUDED.found, made_at = clock_timestamp();
    DELETE FROM searches WHERE thread_id = p_thread AND key IN (
        SELECT key FROM searches WHERE thread_id = p_thread ORDER BY made_at DESC, key OFFSET p_most
    );
END $$;
