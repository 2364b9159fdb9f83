import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/outbox-core')

export const mutants: readonly Mutant[] = [
  ...of('postgres/array-literal.ts', 'race/many-blocked.pg.test.ts', [
    [
      'a held key with a quote in its name goes on',
      'ordered',
      `if (!literal.includes('\\\\')) return`,
      'if (literal.length > 0) return',
    ],
    [
      'a blocked order with a quote in its name is named as two',
      'unrepeated',
      'text.replaceAll(/["\\\\]/gu, ',
      'text.replaceAll(/[^\\s\\S]/gu, ',
    ],
  ]),
  ...of('postgres/connections.ts', 'race/black-hole.pg.test.ts', [
    [
      'a database that does not answer is waited for without end',
      'delivered',
      'const cancel = clock.after(timeoutMs, () =>',
      'const cancel = clock.after(timeoutMs * 1_000, () =>',
    ],
    [
      'an attempt to connect that never ends keeps a place of the pool',
      'delivered',
      'options.connectionTimeoutMillis = timeoutMs',
      'options.connectionTimeoutMillis = 0',
    ],
  ]),
  ...of('postgres/connections.ts', 'foreign-database.pg.test.ts', [
    [
      'statements do not bring their own types',
      'delivered',
      'const statement = { text, types: ownTypes,',
      'const statement = { text,',
    ],
    [
      'a client that was told to speak in binary goes on',
      'delivered',
      'if (its.binary === true) its.binary = false',
      '',
    ],
  ]),
  ...of('postgres/connections.ts', 'race/pooler.pg.test.ts', [
    [
      'behind a pooler the isolation of the role counts',
      'delivered',
      'settings === null ? work() : inTransaction',
      'settings !== null ? work() : inTransaction',
    ],
  ]),
  ...of('postgres/maintenance.ts', 'retention.pg.test.ts', [
    ['two relays do a task at a time', 'bounded', ' where known.due_at <= clock_timestamp()', ''],
  ]),
  ...of('postgres/membership.ts', 'race/membership.pg.test.ts', [
    [
      'an expired lease can be renewed',
      'owned',
      'where id = $1::uuid and lease_until > clock_timestamp()\n      returning id`',
      'where id = $1::uuid\n      returning id`',
    ],
  ]),
  ...of('postgres/message-columns.ts', 'large-bodies.pg.test.ts', [
    [
      'bytes are counted as they are stored',
      'bounded',
      "'coalesce(octet_length(m.payload), octet_length(m.payload_binary))'",
      "'coalesce(pg_column_size(m.payload), pg_column_size(m.payload_binary))'",
    ],
    [
      'a body that is too large is read all the same',
      'bounded',
      'case when measured.largest <= $${String(most)}::float8',
      'case when $${String(most)}::float8 is not null',
    ],
  ]),
  ...of('postgres/migrate.ts', 'schema.pg.test.ts', [
    [
      'who waited to migrate believes that the schema is not there',
      'delivered',
      "'select 1 from pg_catalog.pg_namespace limit 0'",
      "'select 1'",
    ],
  ]),
  ...of('postgres/own-types.ts', 'foreign-database.pg.test.ts', [
    ['arrays are read as the application likes', 'delivered', '  1009: textArray,\n', ''],
    ['columns that nobody named are not text', 'delivered', 'parsers[oid] ?? asText', 'parsers[oid] ?? Number'],
  ]),
  ...of('postgres/queryable.ts', 'outbox.pg.test.ts', [
    [
      'a message is added beside the transaction, not in it',
      'backed',
      "if (status === 'I') throw notATransaction",
      'if (status === null) throw notATransaction',
    ],
    [
      'a transaction that ended is taken for one that goes on',
      'backed',
      "if (sqlStateOf(error) === '25P01') {",
      "if (sqlStateOf(error) !== '25P01') {",
    ],
  ]),
  ...of('postgres/session-settings.ts', 'race/black-hole.pg.test.ts', [
    [
      'a machine that vanished keeps its lanes locked',
      'bounded',
      '  idle_in_transaction_session_timeout: String(timeoutMs),\n',
      '',
    ],
  ]),
  ...of('postgres/session-settings.ts', 'foreign-database.pg.test.ts', [
    ['the isolation of the role counts', 'delivered', "    default_transaction_isolation: 'read committed',\n", ''],
    [
      'the statement_timeout of the role counts',
      'delivered',
      '  statement_timeout: String(Math.ceil(timeoutMs * 0.9)),\n',
      '',
    ],
    ['the lock_timeout of the role counts', 'delivered', "  lock_timeout: '0',\n", ''],
  ]),
  ...of('postgres/settles.ts', 'archive.pg.test.ts', [
    [
      'the archive leaves out what failed before',
      'delivered',
      '        from gone)',
      '        from gone where attempts = 0)',
    ],
  ]),
  ...of('postgres/settles.ts', 'race/membership.pg.test.ts', [
    [
      'a fence is not compared',
      'owned',
      'mine.lane = lanes.lane and mine.fence = lanes.fence',
      'mine.lane = lanes.lane',
    ],
  ]),
  ...of('postgres/statements.ts', 'add-functions.pg.test.ts', [
    [
      'a statement that its client prepares wakes nobody',
      'delivered',
      'where asleep) and ${s}.ring_doorbell() then',
      'where asleep) then',
    ],
    [
      'a statement that its client prepares gives another lane',
      'ordered',
      'hashtextextended(coalesce(${key}, ${id})',
      'hashtextextended(coalesce(${topic}, ${id})',
    ],
  ]),
]
