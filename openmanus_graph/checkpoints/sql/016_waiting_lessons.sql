-- Lessons: what requests have taught while Neo4j did not answer. A row says: let this request count there as the row is now.
-- None belongs to a thread: like what it is to become, it stays when the thread is deleted, and goes when that is forgotten.
CREATE TABLE waiting_lessons (
    owner    text NOT NULL,
    thread   text NOT NULL,               -- digest of the thread's id
    request  int NOT NULL,
    replaced boolean NOT NULL,            -- whether its plan was by rules, failed, and was planned anew
    key      text NOT NULL,               -- of the template that it counts for
    template jsonb,                       -- the way in which it was done; null: that of the key, if it is there
    run      jsonb NOT NULL,              -- how it went: times, seconds by step, failed steps, digest of the task
    rating   boolean,                     -- what a person said of it; null: nothing
    why      text NOT NULL DEFAULT '',
    version  bigint NOT NULL DEFAULT nextval('outbox_versions'), -- only what was delivered is settled
    attempts int NOT NULL DEFAULT 0,
    error    text,                        -- of the last attempt, without secrets
    PRIMARY KEY (owner, thread, request, replaced)
);
