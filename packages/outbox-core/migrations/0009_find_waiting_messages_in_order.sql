-- After an incident whole orders are replayed. What waits of one order is found in its sequence, however many others wait beside
-- it: without this index each read of waiting messages compares all of them with each other. Empty in normal operation, as
-- messages_waiting is. Blocks writers of messages while it builds, which takes as long as reading the backlog once; with a very large
-- one, build it before by hand: create index concurrently messages_waiting_in_order on messages
-- (hashtextextended((topic || e'\n' || ordering_key) collate "C", 0), seq) where available_at is not null and ordering_key is not null.

create index if not exists messages_waiting_in_order on messages
  (hashtextextended((topic || e'\n' || ordering_key) collate "C", 0), seq)
  where available_at is not null and ordering_key is not null;
