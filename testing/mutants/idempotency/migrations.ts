import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/idempotency')

export const mutants: readonly Mutant[] = [
  ...of('../migrations/0005_claim_functions.sql', 'claim-functions.pg.test.ts', [
    [
      'a key of two peppers that somebody else wrote is overwritten in silence',
      'replayed',
      "        if not found then\n          raise exception 'malote: the key was",
      "        if false then\n          raise exception 'malote: the key was",
    ],
    [
      'a transaction that did not claim may finish',
      'replayed',
      "if current_setting('malote.claim', true) is distinct from mark then",
      'if false then',
    ],
    [
      'two that count the keys of a tenant do so at once',
      'bounded',
      'if key_cap is not null then perform pg_advisory_xact_lock',
      'if false then perform pg_advisory_xact_lock',
    ],
  ]),
  ...of('../migrations/0006_claim_messages_functions.sql', 'inbox.pg.test.ts', [
    [
      'the wait for a first copy has no end',
      'bounded',
      "set_config('lock_timeout', wait_limit, true)",
      "set_config('lock_timeout', '0', true)",
    ],
    [
      'a handler gets the inbox’s lock_timeout',
      'bounded',
      "set_config('lock_timeout', previous_limit, true)",
      "set_config('lock_timeout', wait_limit, true)",
    ],
  ]),
  ...of('../migrations/0006_claim_messages_functions.sql', 'inbox-retention.pg.test.ts', [
    [
      'a message older than the watermark is applied',
      'once',
      'where not coalesce(made[1] < (',
      "where not coalesce(made[1] < now() - interval '100 years' and made[1] < (",
    ],
  ]),
  ...of('../migrations/0006_claim_messages_functions.sql', 'inbox-batch.pg.test.ts', [
    ['a batch inserts in the order given', 'bounded', 'order by %7$sincoming.id', ''],
  ]),
  ...of('../migrations/0007_claim_message_procedures.sql', 'inbox.pg.test.ts', [
    [
      'the wait for the first copy of a message alone has no end',
      'bounded',
      "set_config('lock_timeout', wait_limit, true)",
      "set_config('lock_timeout', '0', true)",
    ],
    [
      'the handler of a message alone gets the inbox’s lock_timeout',
      'bounded',
      "set_config('lock_timeout', previous_limit, true)",
      "set_config('lock_timeout', wait_limit, true)",
    ],
    ['a message alone that was applied counts as new', 'once', "if claimed <> 'new' then return; end if;", ''],
  ]),
  ...of('../migrations/0007_claim_message_procedures.sql', 'inbox-retention.pg.test.ts', [
    [
      'a message alone that is older than the watermark is applied',
      'once',
      'and not coalesce(made < (',
      "and not coalesce(made < now() - interval '100 years' and made < (",
    ],
  ]),
  ...of('../migrations/0008_claim_key_procedures.sql', 'claim-functions.pg.test.ts', [
    [
      'a key that somebody else wrote is overwritten in silence',
      'replayed',
      'if found then return; end if;',
      'return;',
    ],
    [
      'a transaction that did not claim may finish by the procedure',
      'replayed',
      "and current_setting('malote.claim', true) = mark then",
      'then',
    ],
    ['a key that is known is claimed anew', 'replayed', 'if not found then', 'if true then'],
    ['a key is claimed without its lock', 'replayed', 'and pg_try_advisory_xact_lock(locks[1]) then', 'then'],
  ]),
]
