-- Effects: calls with an effect outside, claimed before they are made and settled after, so that none is made twice.
-- A row is one intent. Each change is one statement, fenced like the checkpoints, and committed before the next step.
CREATE TABLE effects (
    thread_id    text NOT NULL REFERENCES threads ON DELETE CASCADE,
    key          text NOT NULL,              -- the idempotency key, the same however often the call is made
    subtask      text NOT NULL,
    call_id      text NOT NULL,              -- the call that the intent belongs to now
    attempt      int NOT NULL,               -- which attempt of that call, from 1
    tool         text NOT NULL,
    args_hash    text NOT NULL,
    args         text NOT NULL,              -- shortened, without secrets
    status       text NOT NULL CHECK (status IN ('claimed', 'done', 'failed', 'waiting')),
    tries        int NOT NULL DEFAULT 1,     -- how often the call was begun
    token        text NOT NULL,              -- names one try
    runner_epoch bigint NOT NULL,            -- whose try it is
    namespace    text NOT NULL,              -- checkpoint namespace of the subtask
    step         int NOT NULL,               -- step of that namespace whose node makes the call
    skips        int NOT NULL DEFAULT 0,     -- questions the node had asked before the tool began
    error        text,                       -- claimed: why nobody knows what it did; failed: why
    result       text,                       -- JSON
    result_file  text,                       -- path in the workspace of a large result
    final        boolean NOT NULL DEFAULT false, -- failed: whether another attempt would end the same
    claimed_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at  timestamptz,
    PRIMARY KEY (thread_id, key)
);

CREATE INDEX effects_of_subtask ON effects (thread_id, subtask);

-- Claims a call and gives its row; where the row's token is not the given one, the claim did not succeed, because the
-- call has a row already, or because nobody knows what an earlier one with the same arguments did.
CREATE FUNCTION claim_effect(
    p_thread text, p_epoch bigint, p_key text, p_subtask text, p_call text, p_attempt int, p_tool text, p_hash text,
    p_args text, p_namespace text, p_step int, p_skips int, p_token text, p_anew boolean
) RETURNS SETOF effects
LANGUAGE plpgsql AS $$
DECLARE
    v effects;
    v_key text;
BEGIN
    PERFORM check_runner(p_thread, p_epoch);
    IF NOT p_anew THEN
        SELECT * INTO v FROM effects
        WHERE thread_id = p_thread AND subtask = p_subtask
          AND (call_id = p_call
               OR (tool = p_tool AND args_hash = p_hash AND status = 'claimed'
                   AND (runner_epoch <> p_epoch OR error IS NOT NULL)))
        ORDER BY (call_id = p_call) DESC, attempt DESC, claimed_at DESC
        LIMIT 1;
        IF FOUND AND v.call_id = p_call AND v.attempt < p_attempt AND v.status = 'failed' AND v.args_hash = p_hash THEN
            RETURN QUERY UPDATE effects
                SET status = 'claimed', attempt = p_attempt, tries = tries + 1, token = p_token,
                    runner_epoch = p_epoch, step = p_step, skips = p_skips, error = NULL, result = NULL,
                    result_file = NULL, final = false, claimed_at = clock_timestamp(), finished_at = NULL
                WHERE thread_id = p_thread AND key = v.key
                RETURNING *;
            RETURN;
        END IF;
        IF FOUND AND NOT (v.call_id = p_call AND v.attempt < p_attempt AND v.status IN ('done', 'failed')) THEN
            RETURN NEXT v;
            RETURN;
        END IF;
    END IF;
    -- A thread that was deleted and made again under the same id has other intents.
    SELECT left(encode(sha256(convert_to(p_key || extract(epoch FROM created_at), 'UTF8')), 'hex'), 32) INTO v_key
    FROM threads WHERE thread_id = p_thread;
    RETURN QUERY INSERT INTO effects
        (thread_id, key, subtask, call_id, attempt, tool, args_hash, args, status, token, runner_epoch, namespace,
         step, skips)
        VALUES (p_thread, v_key, p_subtask, p_call, p_attempt, p_tool, p_hash, p_args, 'claimed', p_token, p_epoch,
                p_namespace, p_step, p_skips)
        ON CONFLICT (thread_id, key) DO UPDATE SET token = effects.token -- nothing, but gives the row
        RETURNING *;
END $$;

-- Begins an intent once more, with its key, for the call that it belongs to now.
CREATE FUNCTION retake_effect(
    p_thread text, p_epoch bigint, p_key text, p_call text, p_attempt int, p_namespace text, p_step int, p_skips int,
    p_token text
) RETURNS SETOF effects
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_runner(p_thread, p_epoch);
    RETURN QUERY UPDATE effects
        SET status = 'claimed', call_id = p_call, attempt = p_attempt, namespace = p_namespace, step = p_step,
            skips = p_skips, tries = tries + (token <> p_token)::int, token = p_token, runner_epoch = p_epoch,
            error = NULL, claimed_at = clock_timestamp()
        WHERE thread_id = p_thread AND key = p_key AND status IN ('claimed', 'waiting')
        RETURNING *;
END $$;

-- Writes down what became of one try.
CREATE FUNCTION settle_effect(
    p_thread text, p_epoch bigint, p_key text, p_call text, p_attempt int, p_token text, p_status text, p_error text,
    p_result text, p_file text, p_final boolean
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_runner(p_thread, p_epoch);
    UPDATE effects
    SET status = p_status, call_id = p_call, attempt = p_attempt, error = p_error, result = p_result,
        result_file = p_file, final = p_final,
        finished_at = CASE WHEN p_status IN ('done', 'failed') THEN clock_timestamp() END
    WHERE thread_id = p_thread AND key = p_key AND token = p_token;
END $$;
