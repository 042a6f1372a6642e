-- Input: what a thread was last given, kept from before its first checkpoint, so that a kill in between loses nothing.
ALTER TABLE threads
    ADD COLUMN input_type  text,  -- how the input is stored, as the saver's serializer names it
    ADD COLUMN input       bytea, -- the input as the graph takes it; null: none, or a checkpoint has it
    ADD COLUMN input_after text;  -- the newest checkpoint at that time; as long as it is the newest, the input is due

-- The newest checkpoint of the thread's own graph; null where there is none.
CREATE FUNCTION newest_checkpoint(p_thread text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT checkpoint_id FROM checkpoints WHERE thread_id = p_thread AND checkpoint_ns = ''
    ORDER BY checkpoint_id DESC LIMIT 1
$$;
