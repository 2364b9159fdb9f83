-- A scheduled message is cancelled by its id. Without an index each one that is cancelled reads the whole table: where most are
-- cancelled, as timeouts are, that is the dearest statement of all. Blocks writers of scheduled messages while it builds; with
-- very many of them, build it before by hand: create index concurrently scheduled_messages_id on malote.scheduled_messages (id).

create index if not exists scheduled_messages_id on scheduled_messages (id);
