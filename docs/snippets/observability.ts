import { createInbox } from '@malote/idempotency'
import { inboxMetrics } from '@malote/idempotency/otel'
import { type ConsumerOptions, createOutbox, createRelay, type Publisher } from '@malote/outbox-core'
import {
  consumerMetrics,
  currentTraceContext,
  observeOutbox,
  relayMetrics,
  tracedHandler,
  tracedPublisher,
} from '@malote/outbox-core/otel'
import type { Pool } from 'pg'

// #region producer
const outbox = createOutbox({ traceContext: currentTraceContext })

export async function acceptOrder(pool: Pool, cents: number): Promise<void> {
  const tx = await pool.connect()
  await tx.query('begin')
  await outbox.add(tx, { topic: 'orders', type: 'order.accepted', payload: { cents } })
  await tx.query('commit')
  tx.release()
}
// #endregion

// #region relay
/** What the application of the snippets is made of. */
export interface Application {
  readonly pool: Pool
  readonly relayPool: Pool
  readonly publisher: Publisher
}

export function startRelay({ pool, relayPool, publisher }: Application): () => Promise<void> {
  const relay = createRelay({
    pool: relayPool,
    publisher: tracedPublisher(publisher),
    onEvent: relayMetrics(),
  })
  const stopObserving = observeOutbox(pool)
  relay.start()
  return async () => {
    stopObserving()
    await relay.stop()
  }
}
// #endregion

// #region consumer
export function consumerOptions(pool: Pool): ConsumerOptions {
  const inbox = createInbox({ onEvent: inboxMetrics() })
  const handler = tracedHandler(
    async ({ message }) => {
      const { cents } = message.json() as { cents: number }
      const arrived = { consumer: 'balances', messageId: message.id, occurredAt: message.createdAt }
      await inbox.transact(pool, arrived, async (tx) => {
        await tx.query('update balances set cents = cents - $1', [cents])
      })
    },
    { system: 'sqs' },
  )
  return { handler, onEvent: consumerMetrics() }
}
// #endregion
