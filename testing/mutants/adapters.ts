import { type Mutant, mutantsIn } from './mutant.ts'

const sqs = mutantsIn('packages/adapter-sqs')
const rabbitmq = mutantsIn('packages/adapter-rabbitmq')
const kafka = mutantsIn('packages/adapter-kafka')

export const mutants: readonly Mutant[] = [
  ...sqs('classify.ts', 'classify.test.ts', [
    [
      'throttling is the message’s fault',
      'outage',
      "if (throttlingCodes.has(name) || status === 429) return { kind: 'failure', failure: unavailable }",
      '',
    ],
    [
      'a fault of the service kills a message',
      'innocent',
      "isTheirs ? { kind: 'unavailable', destination, ...words }",
      "isTheirs ? { kind: 'permanent', ...words }",
    ],
    ['expired credentials are one destination’s fault', 'outage', ' || accessCodes.has(name)) return', ') return'],
  ]),
  ...sqs('send-plan.ts', 'send-plan.test.ts', [
    [
      'an acceptance behind a failure of its line counts',
      'ordered',
      'const counts = accepted && !line.failed',
      'const counts = accepted',
    ],
    [
      'what is behind a failure is sent all the same',
      'ordered',
      'line.failed ? line.waiting.splice(0).toReversed() : []',
      '[]',
    ],
    ['a line sends while its last request is in flight', 'ordered', '(line.ordered && line.inFlight > 0) ||', ''],
    [
      'a request has an entry too many',
      'bounded',
      'request.length === this.#options.maxEntries',
      'request.length > this.#options.maxEntries',
    ],
    ['a request has more bytes than the broker takes', 'bounded', 'one.encoded.bytes > roomBytes || ', ''],
  ]),
  ...rabbitmq('batch-order.ts', 'batch-order.test.ts', [
    [
      'a failure leaves its followers be',
      'ordered',
      'for (let later = successors.get(index); later !== undefined; later = successors.get(later))\n      settle(later, predecessorFailed)',
      '',
    ],
    [
      'a late confirm turns a failure into an acceptance',
      'ordered',
      'if (results[index] !== undefined) return // A',
      '// A',
    ],
    [
      'a follower is offered at once',
      'ordered',
      "new Set(ordering === 'strict' ? successors.values() : [])",
      'new Set<number>([])',
    ],
    [
      'what is put back comes after the others',
      'ordered',
      '[...indexes.toSorted((left, right) => left - right), ...again]',
      '[...again, ...indexes.toSorted((left, right) => right - left)]',
    ],
  ]),
  ...kafka('clients/platformatic/failures.ts', 'failures.test.ts', [
    [
      'a topic that is not there is the message’s fault',
      'innocent',
      "message.startsWith('Unknown topic ')",
      "message.startsWith('unknown topic ')",
    ],
  ]),
  ...kafka('clients/platformatic/producer.ts', 'clients.broker.test.ts', [
    [
      'a client puts keys where it likes',
      'ordered',
      'compatibilityPartitioner(message, key)',
      'compatibilityPartitioner(message, key.subarray(1))',
    ],
  ]),
  ...kafka('encode.ts', 'cloudevents-sdk.test.ts', [
    ['attributes have a prefix that no SDK knows', 'foreign', "attributePrefix = 'ce_'", "attributePrefix = 'ce.'"],
  ]),
  ...kafka('progress.ts', 'progress.test.ts', [
    ['an offset is committed over a gap', 'delivered', "if (state === 'open') break", ''],
    ['the committed offset is the last one, not the next', 'once', 'finished = first + 1n', 'finished = first'],
  ]),
]
