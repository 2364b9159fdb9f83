import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/outbox-core')

export const mutants: readonly Mutant[] = [
  ...of('../migrations/0002_limit_messages.sql', 'large-bodies.pg.test.ts', [
    [
      'plain SQL schedules a body of any size',
      'bounded',
      'alter table scheduled_messages\n  add constraint payload_is_not_too_large\n    check (coalesce(octet_length(payload), octet_length(payload_binary)) <= 67108864)',
      'alter table scheduled_messages\n  add constraint payload_is_not_too_large\n    check (true)',
    ],
  ]),
  ...of('../migrations/0010_check_messages_once.sql', 'large-bodies.pg.test.ts', [
    [
      'plain SQL writes a topic of any length',
      'bounded',
      'when char_length(new.topic) > 255 then',
      'when char_length(new.topic) > 999 then',
    ],
    [
      'plain SQL writes a key of any length',
      'bounded',
      'when char_length(new.ordering_key) > 255 then',
      'when char_length(new.ordering_key) > 999 then',
    ],
    [
      'plain SQL writes a topic of two lines',
      'ordered',
      "when strpos(new.topic, e'\\n') > 0 then",
      "when strpos(new.topic, e'\\n') > 999 then",
    ],
    [
      'plain SQL writes headers of any kind',
      'delivered',
      "when json_typeof(new.headers) <> 'object' then",
      "when json_typeof(new.headers) = 'none' then",
    ],
    [
      'the function that adds one takes a topic of two lines',
      'ordered',
      "strpos(add_message.topic, e'\\n') = 0",
      'true',
    ],
    ['the function that adds many takes a topic of two lines', 'ordered', "strpos(m.topic, e'\\n') = 0", 'true'],
  ]),
  ...of('../migrations/0010_check_messages_once.sql', 'add-functions.pg.test.ts', [
    [
      'a bulk load writes rows without a lane',
      'delivered',
      'enable always trigger zz_check_message,\n  enable',
      'enable trigger zz_check_message,\n  enable',
    ],
    [
      'a message keeps its lane when its key is changed',
      'ordered',
      'before update of id, lane, topic, type, ordering_key,',
      'before update of id, lane, topic, type,',
    ],
    [
      'the function that adds one gives a lane that is not the key’s',
      'ordered',
      'hashtextextended(coalesce(add_message.ordering_key, add',
      'hashtextextended(coalesce(add_message.topic, add',
    ],
    [
      'a temporary table is taken for the outbox',
      'delivered',
      'insert into %1$I.messages (id, lane, topic, type, ordering_key, payload, content_type',
      'insert into messages (id, lane, topic, type, ordering_key, payload, content_type',
    ],
  ]),
  ...of('../migrations/0011_ring_inside_the_insert.sql', 'add-functions.pg.test.ts', [
    [
      'the select of a prepared message is run apart from its insert',
      'bounded',
      'ring_doorbell() stable',
      'ring_doorbell() volatile',
    ],
  ]),
]
