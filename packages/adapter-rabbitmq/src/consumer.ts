import type { ConsumeMessage } from 'amqplib'
import { type Consumer, OutboxError } from '@malote/outbox-core'
import { createKeyedQueue, systemClock } from '@malote/outbox-core/adapter'
import { attend, type Attendance } from './attend.ts'
import { createMover } from './mover.ts'
import { type RabbitmqConsumerOptions, resolveRabbitmqConsumerOptions } from './options.ts'
import { openSession, type Session } from './session.ts'

/** A session that ended sooner is counted as a failure, so that the pause before the next one grows. */
const healthyMs = 5_000

/**
 * Consumes one queue (see `assertTopology`). A message is acknowledged after its handler resolved, or after the dead-letter or retry queue confirmed it.
 *
 * Messages of one ordering key are handled in order, also when one of them fails, as long as one consumer at a time has the
 * queue (`singleActiveConsumer`). What is not promised: order across a dead letter (its key goes on), and a count of attempts that
 * survives a crash exactly (RabbitMQ counts redeliveries, also of messages that had only been prefetched).
 *
 * RabbitMQ closes a channel that keeps a message unacknowledged for longer than `consumer_timeout` (30 minutes by
 * default): handlers, and pauses between the attempts of a message with a key, must be shorter.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function createRabbitmqConsumer(options: RabbitmqConsumerOptions): Consumer {
  const resolved = resolveRabbitmqConsumerOptions(options)
  const { report, reconnectBackoff } = resolved
  const draining = new AbortController()
  const graceOver = new AbortController()
  const attendance: Attendance = {
    options: resolved,
    mover: createMover(resolved.connect, reconnectBackoff),
    keys: createKeyedQueue(Number.POSITIVE_INFINITY),
    handlers: createKeyedQueue(resolved.concurrency),
    draining: draining.signal,
    graceOver: graceOver.signal,
  }
  const started = Promise.withResolvers<void>()
  const attending = new Set<Promise<void>>()
  let session: Session | null = null
  let running: Promise<void> | null = null
  let stopping: Promise<void> | null = null

  function onMessage(message: ConsumeMessage, from: Session): void {
    const work = attend(message, from, attendance)
      // Only an option of the caller's that throws (`backoff`) ends here: the message goes back, after a pause.
      .catch((error: unknown) => from.end(error))
      .finally(() => attending.delete(work))
    attending.add(work)
  }

  async function pauseAfter(error: unknown, failures: number): Promise<void> {
    const retryInMs = reconnectBackoff(failures)
    report({ type: 'consumer.disconnected', error, retryInMs })
    await systemClock.sleep(retryInMs, draining.signal)
  }

  /** From connection to connection until the consumer stops. Never rejects. */
  async function run(): Promise<void> {
    let sessions = 0
    for (let failures = 1; !draining.signal.aborted; failures++) {
      const beganMs = systemClock.monotonicMs()
      try {
        const opened = await openSession(resolved, onMessage)
        if (draining.signal.aborted) return await opened.end(new Error('the consumer was stopped'))
        session = opened
        report({ type: sessions++ === 0 ? 'consumer.started' : 'consumer.reconnected' })
        started.resolve()
        await aborted(opened.over)
        session = null
        if (draining.signal.aborted) return
        void opened.end(new Error('the session is over'))
        if (systemClock.monotonicMs() - beganMs > healthyMs) failures = 1
        await pauseAfter(opened.over.reason, failures)
      } catch (error) {
        if (draining.signal.aborted) return
        await pauseAfter(error, failures)
      }
    }
  }

  async function stop(graceMs: number): Promise<void> {
    draining.abort()
    started.reject(new OutboxError('CONSUMER_STATE', 'the consumer was stopped before it could connect'))
    const over = new AbortController()
    await Promise.race([Promise.allSettled(attending), systemClock.sleep(graceMs, over.signal)])
    over.abort()
    graceOver.abort(new Error('the grace period of stop() is over'))
    await Promise.all([session?.end(new Error('the consumer was stopped')), attendance.mover.close()])
    if (running !== null) report({ type: 'consumer.stopped' })
  }

  return {
    name: 'rabbitmq',
    start: async () => {
      if (running !== null || stopping !== null)
        throw new OutboxError('CONSUMER_STATE', 'a consumer starts once: create another one')
      running = run()
      await started.promise
    },
    stop: async ({ graceMs = 10_000 } = {}) => {
      started.promise.catch(() => {}) // Nobody waits for a start that was never called.
      stopping ??= stop(graceMs)
      await stopping
    },
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
