-- In flight: a call of a model that was sent, and whose reply is not recorded. It is replaced by its usage once that is
-- known; one that is left after its process has ended was sent and is paid for, although nobody knows its tokens.
ALTER TABLE model_calls ADD COLUMN in_flight boolean NOT NULL DEFAULT false;
