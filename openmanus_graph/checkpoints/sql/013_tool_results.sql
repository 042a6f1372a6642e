-- Results of calls of tools that only read and say for how long (`cache_s`), reused by calls with the same arguments.
CREATE TABLE tool_results (
    owner      text NOT NULL,
    key        text NOT NULL,                    -- of the tool, as it is defined, and of the arguments
    output     jsonb NOT NULL,
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (owner, key)
);
CREATE INDEX tool_results_expires_at ON tool_results (expires_at);
