import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/outbox-core')

/** Publishing, whose fault a failure is, and settling. */
export const mutants: readonly Mutant[] = [
  ...of('relay/dispatcher.ts', 'relay/dispatcher.test.ts', [
    [
      'publishes of all routes share their places',
      'outage',
      'if (flight.route === route && flight.probed === null && !flight.isSlow) places--',
      'if (flight.probed === null && !flight.isSlow) places--',
    ],
    ['a destination that hangs keeps every place', 'delivered', '    flight.isSlow = true\n', ''],
    ['a topic that hung takes the others along again', 'bounded', '      backlog.isolate(topic)\n', ''],
    [
      'a topic that hung once is sent apart for ever',
      'bounded',
      'if (!flight.isSlow && flight.topics.size === 1) backlog.mix(topic)',
      '',
    ],
  ]),
  ...of('relay/dispatcher.ts', 'race/destinations.pg.test.ts', [
    ['a destination that hangs keeps the only place', 'delivered', '    flight.isSlow = true\n', ''],
    [
      'a destination that hangs takes one place after the other',
      'delivered',
      '      backlog.suspend(topic, slow)\n',
      '',
    ],
  ]),
  ...of('relay/faults.ts', 'relay/dispatcher.test.ts', [
    [
      'an unavailable destination is no verdict of its own',
      'outage',
      "const unavailable = failed.filter(({ failure }) => failure.kind === 'unavailable')",
      'const unavailable: FailedMessage[] = []',
    ],
    [
      'that others pass counts whatever their destination',
      'innocent',
      'of: (topic) => this.#passesOfTopic.get(topic) ?? 0,',
      'of: () => this.passesOf(route),',
    ],
    [
      'a probe that was refused ends the outage of its destination',
      'outage',
      'if (accepted.length > 0 || !(isRefused || isUnanswered)) this.#close(probed)',
      'if (accepted.length >= 0) this.#close(probed)',
    ],
  ]),
  ...of('relay/faults.ts', 'race/routes.pg.test.ts', [
    [
      'one route that rejects pauses all',
      'outage',
      "if (verdict === 'broker' && route === onlyRoute) {",
      "if (verdict === 'broker') {",
    ],
  ]),
  ...of('relay/foreign-input.ts', 'relay/foreign-input.test.ts', [
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
  ...of('relay/foreign-input.ts', 'foreign-rows.pg.test.ts', [
    [
      'headers by plain SQL are passed on as they are',
      'delivered',
      'if (entries.every(isHeader)) return',
      'if (entries.length > 0) return',
    ],
    ['a creation at infinity is passed on', 'delivered', 'Math.min(Math.max(ms, firstMs), lastMs)', 'ms'],
  ]),
  ...of('relay/routes.ts', 'race/routes.pg.test.ts', [
    [
      'topics of all routes share batches and breakers',
      'outage',
      'if (this.#publisher.routeOf === undefined) return onlyRoute',
      'if (topic.length > 0) return onlyRoute',
    ],
    [
      'a route has no limit of its own',
      'bounded',
      'return this.#concurrencyOf.get(route) ?? this.#concurrency',
      'return this.#concurrency',
    ],
  ]),
  ...of('relay/settle.ts', 'operator-changes.pg.test.ts', [
    [
      'a row that changed while its delete waited stays',
      'unrepeated',
      'tries <= maxTries && deleted',
      'tries <= 1 && deleted',
    ],
  ]),
  ...of('relay/settle.ts', 'foreign-database.pg.test.ts', [
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
]
