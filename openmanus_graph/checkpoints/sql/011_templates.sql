-- Templates: how kinds of tasks are done. None belongs to a thread: it stays when the threads that it was learned from are
-- deleted. What a task names is a parameter, what was found on the way a hole; constants are what else its steps say, which
-- rules cannot tell from the matter of one task. Forgetting a thread removes the templates that no other has run.
CREATE TABLE templates (
    owner      text NOT NULL,
    key        text NOT NULL,               -- hash of its shape and constants
    task       text NOT NULL,               -- the task, with parameters in place of what it named
    goal       text NOT NULL DEFAULT '',
    parameters jsonb NOT NULL DEFAULT '{}', -- kind by name
    words      text NOT NULL,               -- what it is found by
    proven     boolean NOT NULL,            -- whether its steps are those of a run that succeeded
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    search     tsvector GENERATED ALWAYS AS (to_tsvector('english', words)) STORED,
    PRIMARY KEY (owner, key)
);

CREATE INDEX templates_search ON templates USING gin (search);

-- Steps: each a subtask with parameters and holes, and how long it took in the runs that had it.
CREATE TABLE template_steps (
    owner      text NOT NULL,
    key        text NOT NULL,
    step       text NOT NULL,
    position   int NOT NULL,
    definition jsonb NOT NULL,
    runs       bigint NOT NULL DEFAULT 0,
    failures   bigint NOT NULL DEFAULT 0,
    mean_s     double precision NOT NULL DEFAULT 0,
    m2_s       double precision NOT NULL DEFAULT 0, -- sum of squared differences from the mean (Welford)
    PRIMARY KEY (owner, key, step),
    FOREIGN KEY (owner, key) REFERENCES templates ON DELETE CASCADE
);

CREATE TABLE template_needs (
    owner text NOT NULL,
    key   text NOT NULL,
    step  text NOT NULL,
    needs text NOT NULL,
    PRIMARY KEY (owner, key, step, needs),
    FOREIGN KEY (owner, key, step) REFERENCES template_steps ON DELETE CASCADE,
    FOREIGN KEY (owner, key, needs) REFERENCES template_steps ON DELETE CASCADE
);

-- Runs: which request counted for which template, each once however often it is stored. Threads are named by a digest:
-- an id begins with words of a task, and deleting a thread leaves this row.
CREATE TABLE template_runs (
    owner     text NOT NULL,
    thread    text NOT NULL,
    request   int NOT NULL,
    replaced  boolean NOT NULL,             -- whether its plan was by rules, failed, and was planned anew
    key       text NOT NULL,
    task      text NOT NULL,                -- digest of the task: whether runs were of different ones
    succeeded boolean NOT NULL,
    seconds   double precision NOT NULL,
    rating    boolean,                      -- what a person said of it; null: nothing
    why       text NOT NULL DEFAULT '',
    ended_at  timestamptz NOT NULL,
    PRIMARY KEY (owner, thread, request, replaced),
    FOREIGN KEY (owner, key) REFERENCES templates ON DELETE CASCADE
);

CREATE INDEX template_runs_of ON template_runs (owner, key);
