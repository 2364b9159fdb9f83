import { type Mutant, mutantsOf } from './mutant.ts'

const core = 'packages/outbox-core'

/** Nothing foreign stops the relay or makes it lose a message: connections, results, rows, options, callers. */
export const edges: readonly Mutant[] = [
  ...mutantsOf(core, 'cli/values.ts', 'fuzz-command-line.test.ts', [
    [
      'a number of the command line may be written in any way',
      'refused',
      'form.test(text) && value >= least',
      'value >= least',
    ],
  ]),
  ...mutantsOf(core, 'cli/purge.ts', 'fuzz-command-line.test.ts', [
    [
      'a purge is noted as begun, and refused behind it',
      'refused',
      "if (only === 'inbox' && !(",
      "if (only === 'archive' && !(",
    ],
  ]),
  ...mutantsOf(core, 'postgres/connections.ts', 'race/black-hole.pg.test.ts', [
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
  ...mutantsOf(core, 'relay/session.ts', 'race/black-hole.pg.test.ts', [
    [
      'stop waits for a database that is silent',
      'bounded',
      'clock.after(graceMs + settleGraceMs,',
      'clock.after(graceMs + settleGraceMs * 100,',
    ],
  ]),
  ...mutantsOf(core, 'relay/foreign-input.ts', 'relay/foreign-input.test.ts', [
    [
      'a status nobody knows counts as accepted',
      'delivered',
      "if (status === 'accepted') results",
      "if (status !== 'failed') results",
    ],
    [
      'a pause that is no number is taken',
      'delivered',
      '...(isPause(retryAfterMs) ?',
      "...(typeof retryAfterMs === 'number' ?",
    ],
    [
      'a code that is no text is passed on',
      'delivered',
      "textOf(code, maxCode) ?? 'UNKNOWN'",
      "(code as string) ?? 'UNKNOWN'",
    ],
    [
      'a kind of failure that nobody knows kills a message',
      'innocent',
      "kind === 'permanent' ? 'permanent' : 'retryable'",
      "kind === 'retryable' ? 'retryable' : 'permanent'",
    ],
  ]),
  ...mutantsOf(core, 'relay/foreign-input.ts', 'foreign-rows.pg.test.ts', [
    [
      'headers by plain SQL are passed on as they are',
      'delivered',
      'if (entries.every(isHeader)) return',
      'if (entries.length > 0) return',
    ],
    ['a creation at infinity is passed on', 'delivered', 'Math.min(Math.max(ms, firstMs), lastMs)', 'ms'],
  ]),
  ...mutantsOf(core, 'relay/resolved-options.ts', 'relay/foreign-input.test.ts', [
    [
      'an afterDeadLetter that throws is not caught',
      'delivered',
      '      problem = wordsOf(error)\n',
      '      throw error\n',
    ],
    [
      'an afterDeadLetter that says Hold skips',
      'ordered',
      'if (choice === careful || choice === other) return choice as Word',
      'return choice === careful ? careful : other',
    ],
  ]),
  ...mutantsOf(core, 'relay/resolved-options.ts', 'foreign-database.pg.test.ts', [
    ['a pool that is too small is taken', 'refused', 'max < neededConnections', 'max < 1'],
  ]),
  ...mutantsOf(core, 'adapter/report.ts', 'relay/foreign-input.test.ts', [
    [
      'an async onEvent that rejects ends the process',
      'delivered',
      'if (returned instanceof Promise) returned.catch(failed)',
      'void returned',
    ],
  ]),
  ...mutantsOf(core, 'options.ts', 'relay/foreign-input.test.ts', [
    [
      'a time that no timer can count is taken',
      'refused',
      "name.endsWith('Ms') ? longestMs : Number",
      "name.endsWith('Ms') ? Number.MAX_VALUE : Number",
    ],
  ]),
  ...mutantsOf(core, 'in-batches.ts', 'relay/foreign-input.test.ts', [
    [
      'an outcome of a batch that says nothing is success',
      'once',
      "if (status === 'fulfilled') return given",
      "if (status !== 'rejected') return given",
    ],
  ]),
  ...mutantsOf(core, 'encode.ts', 'large-bodies.pg.test.ts', [
    [
      'add takes a body of any size',
      'bounded',
      'if (bytes <= maxBytes) return\n',
      'if (bytes <= maxBytes * 100) return\n',
    ],
  ]),
  ...mutantsOf(core, 'postgres/statements.ts', 'add-functions.pg.test.ts', [
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
  ...mutantsOf(core, 'postgres/migrate.ts', 'schema.pg.test.ts', [
    [
      'who waited to migrate believes that the schema is not there',
      'delivered',
      "'select 1 from pg_catalog.pg_namespace limit 0'",
      "'select 1'",
    ],
  ]),
  ...mutantsOf(core, '../migrations/0010_check_messages_once.sql', 'large-bodies.pg.test.ts', [
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
  ...mutantsOf(core, '../migrations/0010_check_messages_once.sql', 'add-functions.pg.test.ts', [
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
  ...mutantsOf(core, '../migrations/0011_ring_inside_the_insert.sql', 'add-functions.pg.test.ts', [
    [
      'the select of a prepared message is run apart from its insert',
      'bounded',
      'ring_doorbell() stable',
      'ring_doorbell() volatile',
    ],
  ]),
  ...mutantsOf(core, '../migrations/0002_limit_messages.sql', 'large-bodies.pg.test.ts', [
    [
      'plain SQL schedules a body of any size',
      'bounded',
      'alter table scheduled_messages\n  add constraint payload_is_not_too_large\n    check (coalesce(octet_length(payload), octet_length(payload_binary)) <= 67108864)',
      'alter table scheduled_messages\n  add constraint payload_is_not_too_large\n    check (true)',
    ],
  ]),
  ...mutantsOf(core, 'postgres/message-columns.ts', 'large-bodies.pg.test.ts', [
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
  ...mutantsOf(core, 'relay/batch.ts', 'large-bodies.pg.test.ts', [
    ['a publish holds any number of bytes', 'bounded', '(bytes <= this.#bytesLeft && !this', '(!this'],
  ]),
  ...mutantsOf(core, 'relay/batch.ts', 'foreign-database.pg.test.ts', [
    ['an id stands twice in a batch', 'delivered', ' && !this.#ids.has(message.id)', ''],
  ]),
  ...mutantsOf(core, 'relay/dispatcher.ts', 'relay/dispatcher.test.ts', [
    ['a destination that hangs keeps every place', 'delivered', '    flight.isSlow = true\n', ''],
    ['a topic that hung takes the others along again', 'bounded', '      backlog.isolate(topic)\n', ''],
    [
      'a topic that hung once is sent apart for ever',
      'bounded',
      'if (!flight.isSlow && flight.topics.size === 1) backlog.mix(topic)',
      '',
    ],
  ]),
  ...mutantsOf(core, 'relay/dispatcher.ts', 'race/destinations.pg.test.ts', [
    ['a destination that hangs keeps the only place', 'delivered', '    flight.isSlow = true\n', ''],
    [
      'a destination that hangs takes one place after the other',
      'delivered',
      '      backlog.suspend(topic, slow)\n',
      '',
    ],
  ]),
  ...mutantsOf(core, 'relay/settle.ts', 'foreign-database.pg.test.ts', [
    [
      'one row that cannot be settled ends the session',
      'delivered',
      'if (!isRefused(error) || item === undefined) throw error',
      'if (item !== null) throw error',
    ],
    [
      'a key that no index takes is held all the same',
      'delivered',
      'failure: unstorable, reason, isKeyHeld: false',
      'failure: unstorable, reason, isKeyHeld: true',
    ],
  ]),
  ...mutantsOf(core, 'relay/control-loop.ts', 'foreign-database.pg.test.ts', [
    [
      'lanes that a truncate took stay away',
      'delivered',
      'if (look.missing > 0) await',
      'if (look.missing > 64) await',
    ],
  ]),
  ...mutantsOf(core, 'relay/reader.ts', 'foreign-database.pg.test.ts', [
    ['a sequence that goes back is not noticed', 'delivered', 'if (drawn < this.#drawn)', 'if (drawn < 0)'],
  ]),
  ...mutantsOf(core, 'relay/check-schema.ts', 'foreign-database.pg.test.ts', [
    [
      'a sequence beyond what JavaScript can count is taken',
      'refused',
      'const highestSeq = 8e15',
      'const highestSeq = 8e18',
    ],
  ]),
  ...mutantsOf(core, 'postgres/own-types.ts', 'foreign-database.pg.test.ts', [
    ['arrays are read as the application likes', 'delivered', '  1009: textArray,\n', ''],
    ['columns that nobody named are not text', 'delivered', 'parsers[oid] ?? asText', 'parsers[oid] ?? Number'],
  ]),
  ...mutantsOf(core, 'postgres/connections.ts', 'foreign-database.pg.test.ts', [
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
  ...mutantsOf(core, 'postgres/session-settings.ts', 'race/black-hole.pg.test.ts', [
    [
      'a machine that vanished keeps its lanes locked',
      'bounded',
      '  idle_in_transaction_session_timeout: String(timeoutMs),\n',
      '',
    ],
  ]),
  ...mutantsOf(core, 'postgres/session-settings.ts', 'foreign-database.pg.test.ts', [
    ['the isolation of the role counts', 'delivered', "    default_transaction_isolation: 'read committed',\n", ''],
    [
      'the statement_timeout of the role counts',
      'delivered',
      '  statement_timeout: String(Math.ceil(timeoutMs * 0.9)),\n',
      '',
    ],
    ['the lock_timeout of the role counts', 'delivered', "  lock_timeout: '0',\n", ''],
  ]),
  ...mutantsOf(core, 'relay/examine.ts', 'race/pooler.pg.test.ts', [
    [
      'behind a pooler the timeouts of the role count',
      'delivered',
      ' else for (const connection of all) prepareStatements(connection, databaseTimeoutMs)',
      '',
    ],
  ]),
  ...mutantsOf(core, 'postgres/connections.ts', 'race/pooler.pg.test.ts', [
    [
      'behind a pooler the isolation of the role counts',
      'delivered',
      'settings === null ? work() : inTransaction',
      'settings !== null ? work() : inTransaction',
    ],
  ]),
]
