import type { Consumer } from '@malote/outbox-core'
import { createMessageProcessor, startsOnce, systemClock, within } from '@malote/outbox-core/adapter'
import { type KafkaConsumerOptions, resolveKafkaConsumerOptions } from './options.ts'
import { createProducerPool } from './producer-pool.ts'
import { createReceiver } from './receiver.ts'
import { createMessageHandler } from './handle-message.ts'

/** Longest the goodbye to a broker that may be away takes, in milliseconds. */
const goodbyeMs = 1_000

/**
 * Consumes from Kafka: every record is handled at least once, those of one key one after the other, and its offset is committed after
 * its handler resolved and everything before it in the partition is finished.
 *
 * A failed message stops its key for its backoff, and nothing else: other keys of its partition go on, until `maxBufferedMessages` records wait for the
 * failed one to be committed. Handlers run beside the client's fetch loop, so that they may take longer than the session timeout.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function createKafkaConsumer(options: KafkaConsumerOptions): Consumer {
  const resolved = resolveKafkaConsumerOptions(options)
  const pool = createProducerPool(resolved.producer, 1)
  const clock = systemClock
  const processor = createMessageProcessor(resolved, clock)
  const receiver = createReceiver(resolved, createMessageHandler(resolved, processor, pool), clock)
  const [ending, graceOver] = [new AbortController(), new AbortController()]
  let released = Promise.resolve()
  let started = false
  let stopped: Promise<void> | undefined

  async function stop(graceMs: number): Promise<void> {
    ending.abort()
    await Promise.all([receiver.stop(graceMs), within(graceMs, released, clock)])
    graceOver.abort(new Error('the grace period of stop() is over'))
    await within(goodbyeMs, pool.close(), clock)
    resolved.report({ type: 'consumer.stopped' })
  }

  return {
    name: 'kafka',
    start: async () => {
      if (started || stopped !== undefined) throw startsOnce()
      started = true
      released = processor.handleReleased({ ending: ending.signal, graceOver: graceOver.signal })
      await receiver.start()
      resolved.report({ type: 'consumer.started' })
    },
    stop: ({ graceMs = 10_000 } = {}) => (stopped ??= started ? stop(graceMs) : pool.close()),
  }
}
