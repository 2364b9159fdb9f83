import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/outbox-core')

export const mutants: readonly Mutant[] = [
  ...of('cut-off.ts', 'cut-off.pg.test.ts', [
    [
      'a cut-off forgets who had begun',
      'complete',
      "let begun = first['open'] as readonly OpenTransaction[]",
      'let begun: readonly OpenTransaction[] = []',
    ],
    [
      'a cut-off forgets what is prepared',
      'complete',
      'let prepared = await preparedNow()',
      'let prepared: readonly string[] = []',
    ],
  ]),
  ...of('encode.ts', 'encode.test.ts', [
    ['an id that is not a UUID is stored', 'refused', 'if (message.id !== undefined && !isUuid(id))', 'if (false)'],
    [
      'a NUL in a name reaches the database',
      'refused',
      "if (!fits || value.includes('\\0') || !value.isWellFormed())",
      'if (!fits)',
    ],
    [
      'a trace header replaces the caller’s',
      'refused',
      '{ ...traceHeaders, ...headers }',
      '{ ...headers, ...traceHeaders }',
    ],
    [
      'a topic with a line break makes two streams one',
      'ordered',
      "if (topic.includes('\\n')) throw",
      "if (topic.includes('\\0')) throw",
    ],
    [
      'a value without a JSON form is stored as nothing',
      'refused',
      'if (text === undefined) throw unserializable',
      'if (text === null) throw unserializable',
    ],
  ]),
  ...of('encode.ts', 'large-bodies.pg.test.ts', [
    [
      'add takes a body of any size',
      'bounded',
      'if (bytes <= maxBytes) return\n',
      'if (bytes <= maxBytes * 100) return\n',
    ],
  ]),
  ...of('in-batches.ts', 'relay/foreign-input.test.ts', [
    [
      'an outcome of a batch that says nothing is success',
      'once',
      "if (status === 'fulfilled') return given",
      "if (status !== 'rejected') return given",
    ],
  ]),
  ...of('is-outage.ts', 'is-outage.test.ts', [
    ['a server that shuts down is the message’s fault', 'outage', '57P0[1-5]', '57P9[1-5]'],
    ['a refused connection is the message’s fault', 'outage', "  'ECONNREFUSED',\n", ''],
    ['the cause of an error is not looked at', 'outage', 'return isOutageWithin(cause, depth - 1)', 'return false'],
    ['one outage among other errors makes all an outage', 'innocent', 'errors.every(', 'errors.some('],
  ]),
  ...of('options.ts', 'relay/foreign-input.test.ts', [
    [
      'a time that no timer can count is taken',
      'refused',
      "name.endsWith('Ms') ? longestMs : Number",
      "name.endsWith('Ms') ? Number.MAX_VALUE : Number",
    ],
  ]),
  ...of('received-message.ts', 'envelope.test.ts', [
    ['bytes that are not UTF-8 pass as JSON', 'refused', 'fatal: true', 'fatal: false'],
  ]),
  ...of('routing-publisher.ts', 'routing-publisher.test.ts', [
    [
      'a topic without a route is told to be published',
      'delivered',
      "return { id, status: 'failed', failure: unavailable(`topic \"${topic}\"`, 'NO_ROUTE', message) }",
      "return { id, status: message === '' ? 'failed' : 'accepted' } as never",
    ],
    [
      'two brokers with a queue of one name have one breaker',
      'outage',
      'const destination = `${route.name}: ${result.failure.destination}`',
      'const { destination } = result.failure',
    ],
  ]),
  ...of('stream-handler.ts', 'stream-batch.test.ts', [
    [
      'a batch is believed whatever the number of its outcomes',
      'delivered',
      'if (outcomes.length !== deliveries.length)',
      'if (outcomes.length > deliveries.length)',
    ],
  ]),
]
