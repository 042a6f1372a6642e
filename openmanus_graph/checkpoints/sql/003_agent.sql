-- Events: what happened in a thread, as its views saw it; tokens are left out.
CREATE TABLE events (
    thread_id  text NOT NULL REFERENCES threads ON DELETE CASCADE,
    number     bigint GENERATED ALWAYS AS IDENTITY,
    type       text NOT NULL,
    subtask    text,
    event      jsonb NOT NULL,
    PRIMARY KEY (thread_id, number)
);

-- Calls of models: what each used, committed as soon as the reply is there, so that budgets survive a kill.
CREATE TABLE model_calls (
    thread_id     text NOT NULL REFERENCES threads ON DELETE CASCADE,
    number        bigint GENERATED ALWAYS AS IDENTITY,
    role          text NOT NULL,
    subtask       text NOT NULL DEFAULT '',
    turn          int NOT NULL,
    model         text NOT NULL,
    input_tokens  bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL DEFAULT 0,
    cost_usd      double precision,            -- null: the price is unknown
    from_cache    boolean NOT NULL DEFAULT false,
    elapsed_s     double precision NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (thread_id, number)
);

-- A request is what a person asked of a thread; budgets count from its beginning, over all its resumes.
ALTER TABLE threads
    ADD COLUMN request_started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN active_s double precision NOT NULL DEFAULT 0; -- seconds the request has been running

-- Episodes: what each request of each thread was, and how it went; recalled by full text.
CREATE TABLE episodes (
    thread_id  text NOT NULL REFERENCES threads ON DELETE CASCADE,
    request    int NOT NULL,
    task       text NOT NULL,
    outline    text NOT NULL DEFAULT '',
    outcome    text NOT NULL,
    failures   text NOT NULL DEFAULT '',
    answer     text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    search     tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('english', task), 'A') || setweight(to_tsvector('english', outline), 'B')
        || setweight(to_tsvector('english', failures || ' ' || answer), 'C')
    ) STORED,
    PRIMARY KEY (thread_id, request)
);

CREATE INDEX episodes_search ON episodes USING gin (search);
