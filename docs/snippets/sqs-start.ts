// #region sqs-start
import { SQSClient } from '@aws-sdk/client-sqs'
import { createSqsConsumer, createSqsPublisher } from '@malote/adapter-sqs'
import { createInbox, migrateIdempotency } from '@malote/idempotency'
import { createOutbox, createRelay, migrate } from '@malote/outbox-core'
import pg from 'pg'

const { DATABASE_URL, QUEUE_URL = '', DEAD_LETTER_QUEUE_URL = '' } = process.env
const pool = new pg.Pool({ connectionString: DATABASE_URL })
await migrate(pool)
await migrateIdempotency(pool)

// 1. Save it and tell everyone, in one commit.
const outbox = createOutbox()
const tx = await pool.connect()
await tx.query('begin')
await tx.query(`insert into orders (id, cents) values ('order-1', 100000)`)
await outbox.add(tx, { topic: 'orders', type: 'order.accepted', orderingKey: 'order-1', payload: { cents: 100000 } })
await tx.query('commit')
tx.release()

// 2. Carry it: at least once, in order per key. Any process may do this; run two.
const sqs = new SQSClient()
const publisher = createSqsPublisher({ client: sqs, queueUrl: { orders: QUEUE_URL } })
const relay = createRelay({ pool: new pg.Pool({ connectionString: DATABASE_URL }), publisher })
relay.start()

// 3. Apply it once, however often it arrives.
const inbox = createInbox()
const consumer = createSqsConsumer({
  client: sqs,
  queueUrl: QUEUE_URL,
  deadLetterQueueUrl: DEAD_LETTER_QUEUE_URL,
  handler: async ({ message }) => {
    const { cents } = message.json() as { cents: number }
    await inbox.transact(pool, { consumer: 'balances', messageId: message.id }, async (tx) => {
      await tx.query('update balances set cents = cents - $1', [cents])
    })
  },
})
await consumer.start()
// #endregion

process.once('message', () => {
  void Promise.all([consumer.stop(), relay.stop()]).then(() => process.exit(0))
})
process.send?.('running')
