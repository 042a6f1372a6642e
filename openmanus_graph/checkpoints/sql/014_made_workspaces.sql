-- Whether the folder of a thread was not there before it began, so that it may go with it.
ALTER TABLE threads ADD COLUMN made_workspace boolean NOT NULL DEFAULT false;
