-- Sites on which a person lets a request's calls with effects be made, until the request is over.
ALTER TABLE threads ADD COLUMN allowed_sites jsonb NOT NULL DEFAULT '[]';

CREATE FUNCTION allow_sites(p_thread text, p_epoch bigint, p_sites jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_runner(p_thread, p_epoch);
    UPDATE threads SET allowed_sites = p_sites WHERE thread_id = p_thread;
END $$;
