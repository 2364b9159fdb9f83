import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/outbox-core')

export const mutants: readonly Mutant[] = [
  ...of('adapter/envelope.ts', 'envelope.test.ts', [
    [
      'a user’s header replaces the message’s id',
      'once',
      'headers[names.id] = message.id',
      'headers[names.id] ??= message.id',
    ],
    [
      'the ordering key is not sent',
      'ordered',
      'if (message.orderingKey !== null) headers[names.partitionkey] = message.orderingKey',
      '',
    ],
  ]),
  ...of('adapter/failure-of.ts', 'failure-of.test.ts', [
    [
      'an outage of the handler pays an attempt',
      'outage',
      "if (options.isOutage(error)) return { kind: 'outage' }",
      '',
    ],
    [
      'a message dies one attempt early',
      'innocent',
      'if (attempt >= options.maxAttempts)',
      'if (attempt + 1 >= options.maxAttempts)',
    ],
  ]),
  ...of('adapter/handler-breaker.ts', 'handler-breaker.test.ts', [
    [
      'a paused consumer lets every delivery pass',
      'outage',
      'if (this.#pause === null) return this.#pass(false)',
      'return this.#pass(false)',
    ],
    [
      'a probe that hangs keeps all others waiting',
      'delivered',
      'const probePatienceMs = 1_000',
      'const probePatienceMs = 600_000',
    ],
  ]),
  ...of('adapter/keyed-queue.ts', 'keyed-queue.test.ts', [
    [
      'tasks of one key run side by side',
      'ordered',
      'if (candidate.key !== null && busyKeys.has(candidate.key)) {',
      'if (false) {',
    ],
    ['the bound of running tasks is one too many', 'bounded', 'running < concurrency;', 'running <= concurrency;'],
    ['a finished key is never free again', 'delivered', 'if (key !== null) busyKeys.delete(key)', ''],
  ]),
  ...of('adapter/process-message.ts', 'process-message.test.ts', [
    [
      'a type nobody knows yet pays',
      'innocent',
      "return { action: 'retry', inMs: retryInMs, spendsAttempt: false }",
      "return { action: 'retry', inMs: retryInMs, spendsAttempt: true }",
    ],
    [
      'a handler that was stopped pays',
      'innocent',
      "if (signal.aborted) return { action: 'retry', inMs: 0, spendsAttempt: false }",
      "if (signal.aborted) return { action: 'retry', inMs: 0, spendsAttempt: true }",
    ],
    [
      'a message is reported handled although the broker did not take the acknowledgement',
      'once',
      "if (!(await inHand.acknowledge())) return 'left'\n    this.#options.report({ type: 'message.handled'",
      "await inHand.acknowledge()\n    this.#options.report({ type: 'message.handled'",
    ],
  ]),
  ...of('adapter/put-away.ts', 'process-message.test.ts', [
    [
      'a dead letter is acknowledged before it is anywhere',
      'delivered',
      "await inHand.deadLetter(letter)\n      if (!(await inHand.acknowledge())) return 'left'",
      "if (!(await inHand.acknowledge())) return 'left'\n      await inHand.deadLetter(letter)",
    ],
    [
      'a dead letter that does not fit loses more than it must',
      'delivered',
      'letter = smallerLetter(letter)',
      'letter = smallerLetter(smallerLetter(letter))',
    ],
  ]),
  ...of('adapter/report.ts', 'relay/foreign-input.test.ts', [
    [
      'an async onEvent that rejects ends the process',
      'delivered',
      'if (returned instanceof Promise) returned.catch(failed)',
      'void returned',
    ],
  ]),
  ...of('adapter/stream-batch.ts', 'stream-batch.test.ts', [
    [
      'a batch skips a message that may not join and takes what is behind it',
      'ordered',
      'if (members.length >= maxSize || !this.#mayJoin(next)) break',
      'if (members.length >= maxSize) break\n      if (!this.#mayJoin(next)) continue',
    ],
    [
      'a batch takes another stream along',
      'ordered',
      ' || streamOf(next.received.message) !== streamOf(first.received.message)',
      '',
    ],
    ['a batch has no bound in bytes', 'bounded', 'bytes > maxBytes || ', ''],
    [
      'what was applied behind a failed message of its batch is acknowledged',
      'ordered',
      'this.#settle(members.slice(0, applied.count), ms)',
      'this.#settle(members, ms)',
    ],
    [
      'a batch that failed is tried again as a batch',
      'innocent',
      'for (const one of error.isOfOne ? rest.slice(0, 1) : rest) this.#alone.add(one)',
      'for (const one of rest.slice(0, 1)) this.#alone.add(one)',
    ],
    [
      'a message that may have ended a process joins a batch',
      'innocent',
      ' && (this.#options.store === null || isRedelivered === false)',
      '',
    ],
    [
      'a stream goes on behind a message that another consumer has now',
      'ordered',
      "if (isBroken) this.#ends.set(follower, 'left')",
      "if (isBroken && members.length === 0) this.#ends.set(follower, 'left')",
    ],
    [
      'a batch is acknowledged although its handler was told to give up',
      'once',
      'const isOurs = !lost.aborted && graceOver?.aborted !== true',
      'const isOurs = !lost.aborted || graceOver?.aborted === true',
    ],
  ]),
]
