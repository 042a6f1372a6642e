-- Ratings: what a person said of how a request of a thread really went, however it ended.
CREATE TABLE ratings (
    thread_id  text NOT NULL REFERENCES threads ON DELETE CASCADE,
    request    int NOT NULL,                -- from 1; always 1 where a graph has no requests
    good       boolean NOT NULL,
    why        text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (thread_id, request)
);
