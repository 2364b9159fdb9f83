import { edges } from './edges.ts'
import { type Mutant, mutantsOf as of } from './mutant.ts'

const core = 'packages/outbox-core'
const idempotency = 'packages/idempotency'

/** Chosen by hand: each breaks a promise in a way that a tired reviewer could let pass. */
export const mutants: readonly Mutant[] = [
  ...edges,
  ...of(core, 'console/guard.ts', 'console/guard.test.ts', [
    [
      'the console answers to a host name that was rebound',
      'confidential',
      "access !== 'loopback' || loopbackName.test(url.hostname)",
      'true',
    ],
    [
      'the console takes decisions from other pages',
      'confidential',
      'if (isOwn && (site',
      'if (origin !== undefined && (site',
    ],
  ]),
  ...of(core, 'console/console.ts', 'console/console.pg.test.ts', [
    ['a console that only shows decides', 'refused', 'if (!allowActions)', 'if (action === undefined)'],
  ]),
  ...of(core, 'cut-off.ts', 'cut-off.pg.test.ts', [
    [
      'a cut-off forgets who had begun',
      'delivered',
      "let begun = first['open'] as readonly OpenTransaction[]",
      'let begun: readonly OpenTransaction[] = []',
    ],
    [
      'a cut-off forgets what is prepared',
      'delivered',
      'let prepared = await preparedNow()',
      'let prepared: readonly string[] = []',
    ],
  ]),
  ...of(core, 'relay/maintenance.ts', 'retention.pg.test.ts', [
    ['a purge deletes all at once', 'bounded', 'const rowsOfStep = 100', 'const rowsOfStep = 100_000'],
    ['a task is not due for others while one does it', 'bounded', 'const claimMs = 600_000', 'const claimMs = 0'],
  ]),
  ...of(core, 'postgres/maintenance.ts', 'retention.pg.test.ts', [
    ['two relays do a task at a time', 'bounded', ' where known.due_at <= clock_timestamp()', ''],
  ]),
  ...of(core, 'postgres/settles.ts', 'retention.pg.test.ts', [
    [
      'the archive leaves out what failed before',
      'delivered',
      '        from gone)',
      '        from gone where attempts = 0)',
    ],
  ]),
  ...of(core, 'relay/faults.ts', 'relay/dispatcher.test.ts', [
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
  ...of(core, 'relay/routes.ts', 'race/routes.pg.test.ts', [
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
  ...of(core, 'relay/faults.ts', 'race/routes.pg.test.ts', [
    [
      'one route that rejects pauses all',
      'outage',
      "if (verdict === 'broker' && route === onlyRoute) {",
      "if (verdict === 'broker') {",
    ],
  ]),
  ...of(core, 'relay/dispatcher.ts', 'relay/dispatcher.test.ts', [
    [
      'publishes of all routes share their places',
      'outage',
      'if (flight.route === route && flight.probed === null && !flight.isSlow) places--',
      'if (flight.probed === null && !flight.isSlow) places--',
    ],
  ]),
  ...of(core, 'routing-publisher.ts', 'routing-publisher.test.ts', [
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
  ...of(core, 'relay/backlog.ts', 'relay/backlog.test.ts', [
    [
      'messages that try a destination do not count in the memory',
      'bounded',
      'maxBytes - this.bytes))',
      'Number.POSITIVE_INFINITY))',
    ],
    [
      'what waits behind a dead letter that holds its key goes on until the next look',
      'ordered',
      'for (const { stream, lane } of held) if (stream !== null) this.#blocks.hold(stream, lane)',
      '',
    ],
    [
      'a probe sends what was behind a message that has gone back to the table meanwhile',
      'ordered',
      'if (stream !== null && left?.has(stream) === true) return false',
      '',
    ],
    [
      'what waits of a stream is read again beside what was read of it',
      'ordered',
      'closed([...this.#memory.waitedStreams(), ...this.#resting], lanes)',
      'closed([...this.#resting], lanes)',
    ],
    [
      'what waited is taken from a read during which something before it failed',
      'ordered',
      ' || this.#leftSinceAsked?.has(stream) === true))\n      return false\n    if (stream !== null) this.#blockBehind',
      '))\n      return false\n    if (stream !== null) this.#blockBehind',
    ],
  ]),
  ...of(core, 'relay/lane-blocks.ts', 'relay/backlog.test.ts', [
    [
      'an older look at blocks lets go what a dead letter holds by now',
      'ordered',
      'block.isHeld = isHeld || block.heldIn >= begun ||',
      'block.isHeld = isHeld ||',
    ],
    [
      'a key that was let go stays held by a look that shows the same as before',
      'delivered',
      'block.isHeld && block.heldIn < begun)',
      'block.isHeld)',
    ],
    [
      'what waits of a stream is read beside a failure that is not written down',
      'ordered',
      'isHeld || pending > 0',
      'isHeld',
    ],
  ]),
  ...of(core, 'relay/lane-blocks.ts', 'relay/blocks.test.ts', [
    [
      'a held key is read again from where the last read passed it by, not the lowest',
      'delivered',
      'this.#sealed.fromSeq = Math.min(this.#sealed.fromSeq, from)',
      'this.#sealed.fromSeq = from',
    ],
    [
      'a read that goes back does not say so to orders that were passed by before',
      'delivered',
      'from < this.#readFrom ? this.#blocks.values() : this.#fresh',
      'this.#fresh',
    ],
    [
      'a key that nobody asked for before it was let go is forgotten without its messages',
      'delivered',
      'this.#open(stream, { ...newBlock(), fromSeq, isHeld: true, changedIn: seenIn, seenIn })',
      'this.#open(stream, { ...newBlock(), isHeld: true, changedIn: seenIn, seenIn })',
    ],
  ]),
  ...of(core, 'postgres/array-literal.ts', 'race/many-blocked.pg.test.ts', [
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
  ...of(core, 'relay/reader.ts', 'statement-counts.pg.test.ts', [
    [
      'the look below the floors of a few lanes names what is blocked in all',
      'bounded',
      'blockedStreams: backlog.blockedStreams(numbers)',
      'blockedStreams: backlog.blockedStreams()',
    ],
  ]),
  ...of(core, 'relay/read-loop.ts', 'statement-counts.pg.test.ts', [
    [
      'very many blocked orders are looked at all at once',
      'bounded',
      'const turns = reader.blockedCount > fewBlocked ? netTurns : 1',
      'const turns = 1',
    ],
  ]),
  ...of(core, 'relay/blocks.ts', 'relay/dispatcher-model.test.ts', [
    [
      'a replayed message is overtaken by those behind it that were read',
      'ordered',
      '(block.isHeld || seq > block.unreadFrom)',
      'block.isHeld',
    ],
  ]),
  ...of(core, 'relay/backlog.ts', 'relay/dispatcher-model.test.ts', [
    [
      'what waits behind a failed message stays in memory',
      'ordered',
      'this.#leftSinceAsked?.add(stream)\n      this.#dropStream(stream)',
      'this.#leftSinceAsked?.add(stream)',
    ],
    [
      'what waits of a stream that is found blocked stays in memory',
      'ordered',
      'if (ours.has(lane) && this.#blocks.has(name, lane)) this.#dropClosed(name)',
      'void name',
    ],
    [
      'what was read behind a replayed message stays in memory',
      'ordered',
      'if (ours.has(lane) && this.#blocks.has(name, lane)) this',
      'if (ours.has(lane) && this.#blocks.isHeld(name, lane)) this',
    ],
    [
      'what waits of a suspended topic stays in memory',
      'outage',
      'for (const message of this.#schedule.dropTopic(topic)) this.#leave(message)',
      '',
    ],
    [
      'what waits of a lane that leaves stays in memory',
      'owned',
      'for (const message of this.#schedule.dropLane(lane)) this.#return(message)',
      '',
    ],
    [
      'what comes back from an outage is sent though its stream was blocked meanwhile',
      'ordered',
      'if (!this.#lanes.isActive(message.lane) || this.#isBlocked(message)) return this.#return(message)',
      'if (!this.#lanes.isActive(message.lane)) return this.#return(message)',
    ],
  ]),
  ...of(core, 'relay/backlog.ts', 'race/reading.pg.test.ts', [
    [
      'a read brings what is in flight once more',
      'unrepeated',
      'if (!isAboveFloor || seq > this.#floor.of(lane)) seqs.push(seq)',
      '',
    ],
  ]),
  ...of(core, 'postgres/queryable.ts', 'outbox.pg.test.ts', [
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
  ...of(core, 'relay/floor.ts', 'relay/floor.test.ts', [
    [
      'the floor rises to what was drawn, not to what was drawn a barrier ago',
      'delivered',
      'this.#bound = this.#drawn\n',
      'this.#bound = drawn\n',
    ],
    [
      'the floor ignores who still writes',
      'delivered',
      'if (!writer.isOld) this.#bound = Math.min(this.#bound, writer.above)',
      '',
    ],
    [
      'a new writer is thought to have drawn only what comes later',
      'delivered',
      ': this.#drawnBefore\n',
      ': this.#drawn\n',
    ],
    [
      'the floor rises with the bound of now, not with that of when the read began',
      'delivered',
      'Math.min(this.#boundOfRead, reach(lane))',
      'Math.min(this.#bound, reach(lane))',
    ],
    [
      'a lane that hit its limit counts as read to the end',
      'delivered',
      'Math.min(this.#boundOfRead, reach(lane))',
      'this.#boundOfRead',
    ],
    ['a read during which an old writer ended is used', 'ordered', 'if (this.#oldOneEnded) return false', ''],
    [
      'the end of an old writer sends no lane back',
      'delivered',
      'for (const lane of this.#floors.keys()) this.rewind(lane, writer.above + 1)',
      '',
    ],
    ['a running read undoes a rewind', 'delivered', 'Math.min(raised, this.#rewinds.get(lane) ?? raised)', 'raised'],
    ['a rewind stops one short', 'delivered', 'const below = seq - 1', 'const below = seq'],
  ]),
  ...of(core, 'relay/lanes.ts', 'relay/lanes.test.ts', [
    [
      'a leaving lane is still read and sent from',
      'owned',
      'found !== undefined && found.isReady && !found.isLeaving',
      'found !== undefined && found.isReady',
    ],
  ]),
  ...of(core, 'adapter/keyed-queue.ts', 'keyed-queue.test.ts', [
    [
      'tasks of one key run side by side',
      'ordered',
      'if (candidate.key !== null && busyKeys.has(candidate.key)) {',
      'if (false) {',
    ],
    ['the bound of running tasks is one too many', 'bounded', 'running < concurrency;', 'running <= concurrency;'],
    ['a finished key is never free again', 'delivered', 'if (key !== null) busyKeys.delete(key)', ''],
  ]),
  ...of(core, 'adapter/handler-breaker.ts', 'handler-breaker.test.ts', [
    [
      'a paused consumer lets every delivery pass',
      'outage',
      'if (this.#pause === null) return this.#pass(false)',
      'return this.#pass(false)',
    ],
  ]),
  ...of(core, 'adapter/failure-of.ts', 'process-message.test.ts', [
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
  ...of(core, 'adapter/process-message.ts', 'process-message.test.ts', [
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
  ...of(core, 'adapter/stream-batch.ts', 'stream-batch.test.ts', [
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
  ...of(core, 'stream-handler.ts', 'stream-batch.test.ts', [
    [
      'a batch is believed whatever the number of its outcomes',
      'delivered',
      'if (outcomes.length !== deliveries.length)',
      'if (outcomes.length > deliveries.length)',
    ],
  ]),
  ...of(core, 'adapter/put-away.ts', 'process-message.test.ts', [
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
  ...of(core, 'adapter/handler-breaker.ts', 'handler-breaker.test.ts', [
    [
      'a probe that hangs keeps all others waiting',
      'delivered',
      'const probePatienceMs = 1_000',
      'const probePatienceMs = 600_000',
    ],
  ]),
  ...of(core, 'is-outage.ts', 'is-outage.test.ts', [
    ['a server that shuts down is the message’s fault', 'outage', '57P0[1-5]', '57P9[1-5]'],
    ['a refused connection is the message’s fault', 'outage', "  'ECONNREFUSED',\n", ''],
    ['the cause of an error is not looked at', 'outage', 'return isOutageWithin(cause, depth - 1)', 'return false'],
    ['one outage among other errors makes all an outage', 'innocent', 'errors.every(', 'errors.some('],
  ]),
  ...of(core, 'adapter/envelope.ts', 'envelope.test.ts', [
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
  ...of(core, 'received-message.ts', 'envelope.test.ts', [
    ['bytes that are not UTF-8 pass as JSON', 'refused', 'fatal: true', 'fatal: false'],
  ]),
  ...of(core, 'encode.ts', 'encode.test.ts', [
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
  ...of(core, 'postgres/settles.ts', 'race/membership.pg.test.ts', [
    [
      'a fence is not compared',
      'owned',
      'mine.lane = lanes.lane and mine.fence = lanes.fence',
      'mine.lane = lanes.lane',
    ],
  ]),
  ...of(core, 'postgres/membership.ts', 'race/membership.pg.test.ts', [
    [
      'an expired lease can be renewed',
      'owned',
      'where id = $1::uuid and lease_until > clock_timestamp()\n      returning id`',
      'where id = $1::uuid\n      returning id`',
    ],
  ]),
  ...of('packages/adapter-sqs', 'send-plan.ts', 'send-plan.test.ts', [
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
  ...of('packages/adapter-sqs', 'classify.ts', 'classify.test.ts', [
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
  ...of('packages/adapter-rabbitmq', 'batch-order.ts', 'batch-order.test.ts', [
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
  ...of('packages/adapter-kafka', 'progress.ts', 'progress.test.ts', [
    ['an offset is committed over a gap', 'delivered', "if (state === 'open') break", ''],
    ['the committed offset is the last one, not the next', 'once', 'finished = first + 1n', 'finished = first'],
  ]),
  ...of('packages/adapter-kafka', 'clients/platformatic/producer.ts', 'clients.broker.test.ts', [
    [
      'a client puts keys where it likes',
      'ordered',
      'compatibilityPartitioner(message, key)',
      'compatibilityPartitioner(message, key.subarray(1))',
    ],
  ]),
  ...of('packages/adapter-kafka', 'clients/platformatic/failures.ts', 'failures.test.ts', [
    [
      'a topic that is not there is the message’s fault',
      'innocent',
      "message.startsWith('Unknown topic ')",
      "message.startsWith('unknown topic ')",
    ],
  ]),
  ...of(idempotency, 'http/key-record.ts', 'http-semantics.pg.test.ts', [
    [
      'another request under a known key is answered with its response',
      'confidential',
      "if (comparison === 'other') return 'mismatch'",
      '',
    ],
  ]),
  ...of(idempotency, 'http/key-record.ts', 'retention.pg.test.ts', [
    ['an expired body is sent as an empty one', 'replayed', "record.bodyKept ? 'replay' : 'gone'", "'replay'"],
  ]),
  ...of(idempotency, 'http/atomic/batch.ts', 'batch.pg.test.ts', [
    [
      'a key that comes twice runs twice in a batch',
      'replayed',
      'return !keys.has(key) && keys.add(key)',
      'return true',
    ],
    [
      'a batch takes two tenants for one',
      'confidential',
      "`${request.keyHash.toString('hex')} ${request.tenant}`",
      '`${request.keyHash.subarray(0, 0).toString()}`',
    ],
    [
      'a request without a key gets a row',
      'replayed',
      "if (fate !== 'undo' && item.request !== null)",
      "if (fate !== 'undo')",
    ],
  ]),
  ...of(idempotency, 'http/atomic/batch.ts', 'batch-failures.pg.test.ts', [
    [
      'a lost connection is tried again for every half',
      'outage',
      '!isTimeout(error) && !isUnavailable(error)',
      '!isTimeout(error)',
    ],
    [
      'a batch that overran is tried again',
      'bounded',
      '!isTimeout(error) && !isUnavailable(error)',
      '!isUnavailable(error)',
    ],
    [
      'a handler’s own COMMIT is tried again',
      'once',
      'if (isEndedByHandler(error) && touched.size > 0)',
      'if (isTimeout(error))',
    ],
    [
      'a handler’s own COMMIT is told to those that it does not concern',
      'innocent',
      "touched.has(item) ? { kind: 'failed', error } : { kind: 'again' }",
      "({ kind: 'failed', error })",
    ],
    [
      'a half that was not tried may have committed',
      'replayed',
      "error.code !== 'COMMIT_UNKNOWN') return error",
      "error.code !== 'TIMED_OUT') return error",
    ],
    ['a request that is not stored gets a row', 'replayed', "if (fate !== 'undo' && item.request", 'if (item.request'],
    [
      'a failed commit fails everybody',
      'innocent',
      'if (part.length > 1 && mayBeOnes(error)) {',
      'if (part.length > 100 && mayBeOnes(error)) {',
    ],
    ['a handler’s network error is taken for an outage', 'outage', 'new HandlerFailed(part.error)', 'part.error'],
  ]),
  ...of(idempotency, 'http/atomic/run-batch.ts', 'batch-failures.pg.test.ts', [
    ['nothing is undone before the parts run again', 'once', 'if (!isKeptWhole) {', 'if (part.length > 100) {'],
    ['what runs alone is not behind a savepoint of its own', 'once', 'await savepoint.take()', ''],
    ['what was undone is taken for committed', 'innocent', 'for (const item of part) touched.delete(item)', ''],
    [
      'the halves change places',
      'ordered',
      '[items.slice(0, middle), items.slice(middle)]',
      '[items.slice(middle), items.slice(0, middle)]',
    ],
    ['what follows a bad request is run with it', 'innocent', 'isOpen = kept\n', 'isOpen = true\n'],
    [
      'fewer answers than requests are taken',
      'refused',
      'returned.length !== part.length',
      'returned.length > part.length',
    ],
    [
      'a conflict is taken for a request’s own',
      'innocent',
      'if (isTimeout(error) || isTransient(error)) throw error',
      'if (isTimeout(error)) throw error',
    ],
  ]),
  ...of(idempotency, 'http/atomic/atomic-store.ts', 'batch-failures.pg.test.ts', [
    [
      'keys are written in the order of the requests',
      'bounded',
      '[...done].sort((a, b) => inKeyOrder(a.request, b.request))',
      '[...done]',
    ],
  ]),
  ...of(idempotency, 'http/lease/stores/postgres-lease-store.ts', 'lost-claim.pg.test.ts', [
    [
      'a claim that was rolled back is taken for held',
      'replayed',
      "if (answer.rows[0]?.['is_held'] === true) return true",
      'if (answer.rows.length > 0) return true',
    ],
    [
      'a lost claim is claimed again, beside itself',
      'replayed',
      "if (answer.rows[0]?.['is_held'] === true) return true",
      "if (answer.rows[0]?.['is_held'] === true) return false",
    ],
  ]),
  ...of(idempotency, 'http/key-statements.ts', 'abandoned-lease.pg.test.ts', [
    ['a key is taken from a holder that commits', 'replayed', 'for update skip locked) as free', 'for update) as free'],
  ]),
  ...of(idempotency, 'http/atomic/atomic-store.ts', 'abandoned-lease.pg.test.ts', [
    [
      'an abandoned key is taken without being told to',
      'replayed',
      "if (meeting === 'abandoned' && !takesOver)",
      'if (false)',
    ],
  ]),
  ...of(idempotency, 'http/key.ts', 'key.test.ts', [
    [
      'a key that was sent twice is taken',
      'refused',
      "if (values.length > 1) return malformed('it was sent more than once')",
      '',
    ],
    ['a key shorter than allowed is taken', 'refused', 'key.length < format.minLength || ', ''],
    ['an escape stays in the key', 'replayed', "content?.replaceAll(/\\\\([\"\\\\])/g, '$1')", 'content'],
  ]),
  ...of(idempotency, 'http/canonical-json.ts', 'canonical-json.test.ts', [
    [
      'a number that no double carries is compared all the same',
      'confidential',
      'if (/^-?\\d+$/.test(literal) && !Number.isSafeInteger(number)) return false\n',
      '',
    ],
    [
      'minus zero is another number',
      'replayed',
      "Object.is(number, -0) ? '0' : String(number)",
      "Object.is(number, -0) ? '-0' : String(number)",
    ],
    [
      'half a surrogate pair passes',
      'refused',
      "if (!plain.isWellFormed()) this.#fail('a string is no Unicode text')",
      '',
    ],
  ]),
  ...of(idempotency, 'client.ts', 'client.test.ts', [
    [
      'a retry carries another key',
      'replayed',
      'headers.set(keyHeader, `"${idempotencyKey}"`)\n    for (let attempt = 1; ; attempt++) {',
      'for (let attempt = 1; ; attempt++) {\n      headers.set(keyHeader, `"${idempotencyKey}${String(attempt)}"`)',
    ],
    [
      'a 409 without a time is repeated',
      'bounded',
      'if (response.status === 409 || response.status === 429) return named',
      'if (response.status === 409 || response.status === 429) return named ?? jitter(attempt)',
    ],
    ['attempts have no end', 'bounded', 'attempt >= maxAttempts || ', ''],
  ]),
  ...of(idempotency, 'inbox/inbox.ts', 'inbox.pg.test.ts', [
    [
      'a handler whose error is swallowed can commit its inbox row',
      'once',
      'await db.query(claim.statements.abort, []).catch(() => {})',
      '',
    ],
  ]),
  ...of(idempotency, 'inbox/own-commit.ts', 'inbox-own-commit.pg.test.ts', [
    [
      'a message whose handler committed is delivered again, as a duplicate',
      'once',
      "return fate === 'committed' ? new EffectsKept(error) : error\n  } catch {\n    return undefined",
      'return error\n  } catch {\n    return undefined',
    ],
    [
      'a handler’s own COMMIT is not looked for once its connection is gone',
      'once',
      'const fate = await inTime(asked)',
      "const fate = await asked.then(() => 'aborted')",
    ],
  ]),
  ...of(idempotency, 'inbox/statements.ts', 'inbox-own-commit.pg.test.ts', [
    [
      'a message is applied in another transaction than its proof',
      'once',
      'select 1 / (pg_current_xact_id_if_assigned() is not distinct from $1::xid8)::int',
      'select 1 / ($1::xid8 is not null)::int',
    ],
  ]),
  ...of(idempotency, 'inbox/inbox.ts', 'inbox-own-commit.pg.test.ts', [
    [
      'a conflict after a handler’s own COMMIT runs the message again',
      'once',
      'if (why instanceof EffectsKept) return why',
      '',
    ],
    [
      'a batch whose handler committed is applied one by one, as duplicates',
      'once',
      'if (isDown || isKept || messages',
      'if (isDown || messages',
    ],
  ]),
  ...of(idempotency, 'inbox/failed-streams.ts', 'inbox-batch.pg.test.ts', [
    [
      'a message overtakes one of its stream that failed',
      'ordered',
      'if (predecessor === undefined) return null',
      'if (predecessor !== null) return null',
    ],
  ]),
  ...of(idempotency, 'inbox/batch-handler.ts', 'batch-handler.pg.test.ts', [
    [
      'a message overtakes one of its stream that was left out',
      'ordered',
      'message.fail()\n      results.set(',
      'results.set(',
    ],
    [
      'a message of the next batch overtakes one of its stream that failed',
      'ordered',
      "if (typeof found[at] !== 'string') message.fail()",
      '',
    ],
    [
      'messages without a key are one stream',
      'innocent',
      'orderingKey === null ? {} : {',
      "orderingKey === 'no key' ? {} : {",
    ],
  ]),
  ...of(idempotency, 'http/atomic/atomic.ts', 'atomic.pg.test.ts', [
    [
      'a refused request runs again for its answer to be stored',
      'once',
      'undone ?? (await runHandler(open, work, context))',
      'await runHandler(open, work, context)',
    ],
    [
      'a refused request keeps its effects on a client without a savepoint',
      'once',
      'return failed(work.requests.length === 0 ?',
      'return work.requests.length > 0 ? result : failed(work.requests.length === 0 ?',
    ],
  ]),
  ...of(idempotency, 'http/atomic/own-commit.ts', 'own-commit.pg.test.ts', [
    ['effects that the handler committed are said to be undone', 'once', "?.['mark'] !== mark)", '=== null)'],
    ['a rollback of the handler’s own is taken for a commit', 'once', "(isEnded && fate !== 'aborted')", 'isEnded'],
    ['a commit behind which a statement failed is not seen', 'once', "fate === 'committed' || ", ''],
    ['nobody asks about a handler that overran', 'once', 'isTimeout(error) || isUnavailable', 'isUnavailable'],
    ['nobody asks about a connection that was lost', 'once', 'isUnavailable(error) || ', ''],
    ['nobody asks about a success whose transaction has failed', 'once', " || sqlStateOf(error) === '25P02'", ''],
    [
      'a retry repeats what the handler committed',
      'once',
      'if (isKept) for (',
      'if (isKept) for (const _ of []) for (',
    ],
    [
      'what the handler committed is said to be rolled back',
      'once',
      "? 'indeterminate' : 'rolled-back'",
      "? 'rolled-back' : 'rolled-back'",
    ],
  ]),
  ...of(idempotency, 'http/atomic/batch.ts', 'own-commit.pg.test.ts', [
    [
      'a retry repeats what the handler of a batch committed',
      'once',
      'throw await ownCommit.afterRollback(begun, error)',
      'throw error',
    ],
  ]),
  ...of(idempotency, 'http/atomic/atomic.ts', 'undone-outside.pg.test.ts', [
    ['a serializable refusal rests on what was rolled back', 'once', " || isolation === 'serializable'", ''],
    [
      'a refusal without a key has a second transaction',
      'once',
      "work.requests.length === 0 ? new Undo({ outcome: 'executed', response }) : new UndoneOutside(result)",
      'new UndoneOutside(result)',
    ],
    [
      'storing a refusal is not tried again where the handler runs once',
      'once',
      '(undone === null ? retried : retryTransient)(once)',
      'retried(once)',
    ],
    [
      'a refusal that may not have been stored is an unknown outcome',
      'replayed',
      'endingOf(settings, store.explain(error), undone !== null)',
      'endingOf(settings, store.explain(error))',
    ],
    [
      'a handler runs again after another request held its key',
      'once',
      'return attempt()',
      'return attempt().finally(() => (undone = null))',
    ],
  ]),
  ...of(idempotency, 'inbox/streams-in-hand.ts', 'batch-handler.pg.test.ts', [
    ['two batches at a time have a stream in common', 'ordered', 'await Promise.all(earlier)', ''],
    [
      'a failed message is refused because of itself when it comes again',
      'innocent',
      'run.inHand === 0 || run.failedBy !== null',
      'run.inHand === 0',
    ],
  ]),
  ...of(idempotency, '../migrations/0006_claim_messages_functions.sql', 'inbox.pg.test.ts', [
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
  ...of(idempotency, '../migrations/0006_claim_messages_functions.sql', 'inbox-retention.pg.test.ts', [
    [
      'a message older than the watermark is applied',
      'once',
      'where not coalesce(made[1] < (',
      "where not coalesce(made[1] < now() - interval '100 years' and made[1] < (",
    ],
  ]),
  ...of(idempotency, '../migrations/0006_claim_messages_functions.sql', 'inbox-batch.pg.test.ts', [
    ['a batch inserts in the order given', 'bounded', 'order by %7$sincoming.id', ''],
  ]),
  ...of(idempotency, '../migrations/0007_claim_message_procedures.sql', 'inbox.pg.test.ts', [
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
  ...of(idempotency, '../migrations/0007_claim_message_procedures.sql', 'inbox-retention.pg.test.ts', [
    [
      'a message alone that is older than the watermark is applied',
      'once',
      'and not coalesce(made < (',
      "and not coalesce(made < now() - interval '100 years' and made < (",
    ],
  ]),
  ...of(idempotency, 'database/pool-transaction.ts', 'inbox-own-commit.pg.test.ts', [
    [
      'a transaction that an end was heard of commits unasked',
      'once',
      'check === null || isQuiet ? last',
      'check === null || ends.begun > begun ? last',
    ],
    ['a connection that tells nothing is taken for one on which nothing ended', 'once', 'ends.begun > begun && ', ''],
    [
      'an end that nobody has waited for is not found out',
      'once',
      'if (check !== null && isQuiet && ends.ended !== ended + 1) throw endedByHandler()',
      '',
    ],
  ]),
  ...of(idempotency, '../migrations/0008_claim_key_procedures.sql', 'claim-functions.pg.test.ts', [
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
  ...of(idempotency, '../migrations/0005_claim_functions.sql', 'claim-functions.pg.test.ts', [
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
  ...of(core, 'relay/reader.ts', 'race/reading.pg.test.ts', [
    [
      'a read that the server cancelled ends the session',
      'delivered',
      'if (sqlStateOf(error) !== cancelled ||',
      'if (',
    ],
    ['a read that was cancelled is sent again for as much', 'bounded', 'this.#portion /= 2', ''],
    [
      'a read that was cancelled counts as one that found nothing',
      'delivered',
      'this.#readLess(error))\n    if (rows === null) return { messages: 0, isPartial: true }\n    if (floor',
      'this.#readLess(error) ?? [])\n    if (floor',
    ],
    [
      'what may have ended other relays is read without being named',
      'bounded',
      'if (suspect === undefined) return',
      'if (suspect !== null) return',
    ],
  ]),
  ...of(core, 'relay/message-of-row.ts', 'race/reading.pg.test.ts', [
    [
      'what has ended relays to the last attempt is read again',
      'bounded',
      'const isSpent = row.died_among === 1 && row.attempts >= maxAttempts',
      'const isSpent = maxAttempts === 0',
    ],
  ]),
  ...of(core, 'relay/blocks.ts', 'relay/blocks.test.ts', [
    [
      'a crowd of blocked orders is brought by every read',
      'bounded',
      'const isCrowded = Math.max(this.#atBottom, this.#seen.size) >= crowd && size',
      'const isCrowded = size < 0 && size',
    ],
    [
      'whoever takes lanes over brings a crowd of blocked orders once',
      'bounded',
      'if (from <= 1) this.#atBottom += lane.size',
      'if (from <= 0) this.#atBottom += lane.size',
    ],
    [
      'blocked orders that a read brought are named for ever',
      'bounded',
      'if (seq < (froms.get(lane) ?? 0)) this.#seen.delete(stream)',
      'if (seq < 0) this.#seen.delete(stream)',
    ],
  ]),
  ...of(core, 'relay/read-loop.ts', 'statement-counts.pg.test.ts', [
    [
      'whoever wrote as the relay began has its first read repeated',
      'bounded',
      'if (isFirst) await this.#dateWriters()',
      '',
    ],
  ]),
  ...of(core, 'relay/control-loop.ts', 'statement-counts.pg.test.ts', [
    [
      'who takes lanes over reads all held keys twice',
      'bounded',
      'this.#heldVersion !== null && heldVersion',
      'heldVersion',
    ],
    ['a key of many that plain SQL lets go is not heard of', 'bounded', 'return isChanged', 'return false'],
    [
      'who takes lanes over waits until all held keys are counted',
      'bounded',
      'this.#looks++ % looksAtHeld === 1',
      'this.#looks++ % looksAtHeld === 0',
    ],
  ]),
  ...of(core, 'relay/settle.ts', 'operator-changes.pg.test.ts', [
    [
      'a row that changed while its delete waited stays',
      'once',
      'tries <= maxTries && deleted',
      'tries <= 1 && deleted',
    ],
  ]),
  ...of(core, 'relay/scheduled.ts', 'foreign-rows.pg.test.ts', [
    [
      'one scheduled row that cannot be moved keeps all others',
      'delivered',
      'if (!isRefused(error)) throw error\n      if (limit',
      'throw error\n      if (limit',
    ],
  ]),
  ...of(idempotency, 'http/lease/lease.ts', 'survivors.pg.test.ts', [
    [
      'a handler with "hold" that answers 5xx may be tried again',
      'once',
      "const mayGoOn = lease.onLeaseExpired !== 'hold'",
      'const mayGoOn = true',
    ],
  ]),
  ...of(idempotency, 'http/scope.ts', 'survivors.pg.test.ts', [
    [
      'two steps give a foreign system the same key',
      'once',
      "hmac(keyHash, 'downstream 1', step)",
      "hmac(keyHash, 'downstream 1')",
    ],
  ]),
  ...of(idempotency, 'http/lease/heartbeat.ts', 'survivors.pg.test.ts', [
    [
      'a heartbeat that reaches nobody never gives up',
      'owned',
      'lost = renewed === false || monotonicMs() > safeUntil',
      'lost = renewed === false',
    ],
  ]),
  ...of(idempotency, 'database/pool-transaction.ts', 'survivors.pg.test.ts', [
    [
      'a handler that commits by itself is not told',
      'once',
      "if (client.getTransactionStatus?.() === 'I')",
      'if (false)',
    ],
  ]),
  ...of(idempotency, 'database/transaction.ts', 'survivors.pg.test.ts', [
    [
      'a connection that is lost while a Kysely commits says that nothing happened',
      'once',
      'return await Promise.race([done, late.promise])\n  } catch (error) {\n    throw committing ? explainCommit(error) : error',
      'return await Promise.race([done, late.promise])\n  } catch (error) {\n    throw error',
    ],
  ]),
  ...of(idempotency, 'http/atomic/run-handler.ts', 'handler-edges.pg.test.ts', [
    ['a handler that never settles is waited for', 'bounded', 'tooLate.reject(error)\n', ''],
    ['a handler that overruns is not told', 'bounded', 'controller.abort(error)\n', ''],
    [
      'a foreign system that refuses connections is taken for our database',
      'innocent',
      'throw isAlive ? new HandlerFailed(error) : error',
      'throw error',
    ],
  ]),
  ...of(idempotency, 'http/atomic/atomic-store.ts', 'handler-edges.pg.test.ts', [
    [
      'a process that hangs keeps its transaction open',
      'bounded',
      "timeoutMs + ('transaction' in db ? 60_000 : 1_000)",
      'timeoutMs * 0',
    ],
  ]),
  ...of(idempotency, 'http/response.ts', 'handler-edges.pg.test.ts', [
    [
      'a response that nobody can send is committed',
      'replayed',
      'if (body !== null && bodyless.has(response.status))',
      'if (false)',
    ],
  ]),
  ...of(idempotency, 'http/response.ts', 'atomic.pg.test.ts', [
    ['a 429 is stored and sent again for days', 'replayed', '413, 425, 429])', '413, 425])'],
  ]),
  ...of(idempotency, 'http/content-coding.ts', 'content-coding.test.ts', [
    ['a few bytes may inflate without end', 'bounded', 'Math.max(1, limit)', '2 ** 30'],
  ]),
  ...of(idempotency, 'frameworks/peek-body.ts', 'hostile-client.pg.test.ts', [
    [
      'a body counts as whole once it has begun to arrive',
      'confidential',
      'if (!raw.complete && size <= limit) return undefined',
      'if (!raw.complete && size === 0) return undefined',
    ],
  ]),
  ...of(idempotency, 'http/fingerprint.ts', 'fingerprint-upgrade.pg.test.ts', [
    ['a PIN can be found out from its row', 'confidential', "createHmac('sha256', secret)", "createHash('sha256')"],
  ]),
  ...of(idempotency, 'http/fingerprint.ts', 'http-semantics.pg.test.ts', [
    ['two requests with other parameters are one', 'confidential', 'q: [...searchParams]', 'q: []'],
    ['two methods on one path are one request', 'confidential', 'm: request.method.toUpperCase()', "m: ''"],
  ]),
  ...of(idempotency, 'http/scope.ts', 'security.pg.test.ts', [
    [
      'two users of a tenant share their keys',
      'confidential',
      "hashes('key 1', tenant, subject, operation, key)",
      "hashes('key 1', tenant, operation, key)",
    ],
    [
      'the lengths of tenant and subject do not count',
      'confidential',
      '.update(bytes).digest()',
      ".update(parts.join('')).digest()",
    ],
  ]),
  ...of(idempotency, 'http/replay.ts', 'security.pg.test.ts', [
    [
      'who has lost the right gets the response',
      'confidential',
      '!(await options.authorizeReplay(context, seen))',
      'false',
    ],
  ]),
  ...of(idempotency, 'http/options.ts', 'operation-options.pg.test.ts', [
    [
      'an operation keeps its keys as long as all others',
      'replayed',
      'keyRetention(keyMs, settings.keyRetentionMs)',
      'settings.keyRetentionMs',
    ],
  ]),
  ...of(idempotency, 'http/current-call.ts', 'drop-in.pg.test.ts', [
    ['what a handler left running writes into the next transaction', 'confidential', 'running.isOver = true\n', ''],
    ['a handler that ran out of time finds its transaction', 'bounded', ' || running.call.signal.aborted', ''],
  ]),
  ...of(idempotency, 'frameworks/around.ts', 'drop-in.pg.test.ts', [
    ['a framework is asked to run its handler twice', 'once', 'retryConflicts: false', 'retryConflicts: true'],
  ]),
  ...of(idempotency, 'frameworks/captured-response.ts', 'captured-response.test.ts', [
    [
      'another answer carries headers of what it replaces',
      'confidential',
      'for (const name of response.getHeaderNames()) response.removeHeader(name)\n',
      '',
    ],
    [
      'a framework that has answered is told it has not',
      'replayed',
      'writableEnded: getter(() => hasEnded)',
      'writableEnded: getter(() => false)',
    ],
  ]),
  ...of(idempotency, 'frameworks/written-response.ts', 'captured-response.test.ts', [
    [
      'a body is stored in a coding that a retry may not accept',
      'replayed',
      "(decoded === body && body !== null && coding !== 'identity')",
      'false',
    ],
  ]),
  ...of(idempotency, 'frameworks/nest.ts', 'nest.pg.test.ts', [
    [
      'a replay is an error to exception filters',
      'replayed',
      'if (!isHandled && !isResponseHandled(context)) await letPass(subscriber, captured)',
      'if (!isHandled && !isResponseHandled(context)) await Promise.resolve()',
    ],
  ]),
  ...of(idempotency, 'http/lease/completer.ts', 'completer.pg.test.ts', [
    ['a completer takes what saved nothing', 'once', ' && key.recovery !== null', ''],
    ['a completer takes another operation’s keys', 'once', ' && key.operation === options.operation', ''],
    [
      'a completion that failed counts as one',
      'delivered',
      "!isCompleted && fateOf(result) !== 'undo'",
      '!isCompleted',
    ],
  ]),
]
