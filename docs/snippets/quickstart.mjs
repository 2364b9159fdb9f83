import { once } from 'node:events'
import { createInbox, migrateIdempotency } from '@malote/idempotency'
import { createOutbox, createRelay, migrate } from '@malote/outbox-core'
import { createMemoryBroker } from '@malote/outbox-core/testing'
import pg from 'pg'

const connectionString = process.env.DATABASE_URL
const pool = new pg.Pool({ connectionString })
await migrate(pool)
await migrateIdempotency(pool)
await pool.query(`create table if not exists orders (id uuid primary key, cents int)`)
await pool.query(`create table if not exists revenue (cents int)`)

// 1. Save it and tell everyone, in one commit.
const outbox = createOutbox()
const id = crypto.randomUUID()
const tx = await pool.connect()
await tx.query('begin')
await tx.query('insert into orders values ($1, 1999)', [id])
await outbox.add(tx, { topic: 'orders', type: 'order.accepted', orderingKey: id, payload: { id, cents: 1999 } })
await tx.query('commit')
tx.release()
console.log(`1. order ${id} and its message are committed`)

// 2. Carry it: at least once, in order per key. The broker in memory stands for SQS, RabbitMQ or Kafka.
const broker = createMemoryBroker()
const relay = createRelay({ pool: new pg.Pool({ connectionString }), publisher: broker })
relay.start()
await broker.received(1)
console.log('2. the relay has brought it to the broker')

// 3. Apply it once, however often it arrives.
const inbox = createInbox()
const consumer = broker.createConsumer({
  topic: 'orders',
  handler: async ({ message }) => {
    const result = await inbox.transact(pool, { consumer: 'revenue', messageId: message.id }, (tx) =>
      tx.query('insert into revenue values ($1)', [message.json().cents]),
    )
    console.log(`3. message ${message.id} arrived: ${result}`)
  },
})
await consumer.start()
await broker.settled()
broker.redeliver() // As after a crash: the same message once more.
await broker.settled()

const ctrlC = once(process, 'SIGINT')
const { rows } = await pool.query('select count(*), sum(cents) as cents from revenue')
console.log(`4. ${rows[0].count} sale, ${rows[0].cents} cents in all. Ctrl-C ends it`)

await ctrlC
await consumer.stop()
await relay.stop()
await pool.end()
console.log('5. stopped: nothing lost, nothing half done')
