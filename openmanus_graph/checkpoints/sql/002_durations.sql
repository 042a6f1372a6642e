-- Durations: how long each kind of subtask has taken, for scheduling; a mean that forgets slowly.
CREATE TABLE durations (
    kind       text PRIMARY KEY,
    runs       bigint NOT NULL,
    mean_s     double precision NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
