-- Limits what can be stored, because a row that no relay can read or settle stops the relays: plain SQL, triggers and other
-- languages write rows too, and nothing else checks those.
-- Rows that are there already are not looked at ("not valid"), so each statement holds its lock for an instant only: it waits
-- for the transactions that are writing at that moment, and new ones wait behind it. The relay copes with older rows.

alter table messages
  -- In the relay's memory as they are. The same number stands in the writer and is the relay's default limit.
  add constraint payload_is_not_too_large
    check (coalesce(octet_length(payload), octet_length(payload_binary)) <= 67108864) not valid,
  -- What every broker can carry in a name or a header.
  add constraint topic_is_short check (char_length(topic) <= 255) not valid,
  add constraint type_is_short check (char_length(type) <= 255) not valid,
  add constraint content_type_is_short check (char_length(content_type) <= 255) not valid,
  add constraint ordering_key_is_short check (char_length(ordering_key) <= 255) not valid,
  -- A newline stands between topic and key where an order is named: with one in the topic two orders could share a name.
  add constraint topic_is_one_line check (strpos(topic, e'\n') = 0) not valid,
  add constraint headers_are_an_object check (json_typeof(headers) = 'object') not valid;

alter table scheduled_messages
  add constraint payload_is_not_too_large
    check (coalesce(octet_length(payload), octet_length(payload_binary)) <= 67108864) not valid,
  add constraint topic_is_short check (char_length(topic) <= 255) not valid,
  add constraint type_is_short check (char_length(type) <= 255) not valid,
  add constraint content_type_is_short check (char_length(content_type) <= 255) not valid,
  add constraint ordering_key_is_short check (char_length(ordering_key) <= 255) not valid,
  add constraint topic_is_one_line check (strpos(topic, e'\n') = 0) not valid,
  add constraint headers_are_an_object check (json_typeof(headers) = 'object') not valid;
