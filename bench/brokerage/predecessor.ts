// One part of a brokerage as its predecessors were built. Their good habits are all here: key, reservation and outbox in one
// transaction, SKIP LOCKED, confirms, processed events, acknowledgement last, many messages in hand. So is their shape: the outbox is
// polled every 100 ms, published one by one, marked as published, and each message has a transaction of its own.
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { connect, type ConsumeMessage } from 'amqplib'
import Fastify from 'fastify'
import pg from 'pg'
import { runRole, type RunningRole } from '../../examples/brokerage/src/process/run-role.ts'
import { setting } from '../../examples/brokerage/src/process/settings.ts'

interface Event {
  readonly orderId: string
  readonly accountId: string
  readonly asset: string
  readonly amount: number
  readonly filled?: boolean
}

const exchange = 'predecessor'
const queues = { 'order.accepted': 'predecessor-orders', 'order.decided': 'predecessor-balances' } as const
const pool = new pg.Pool({
  connectionString: setting('DATABASE_URL'),
  max: 20,
  options: '-c search_path=predecessor',
})

const parts: Readonly<Record<string, () => Promise<RunningRole>>> = {
  api,
  dispatcher,
  orders: () => consumer('order.accepted', decideOrder),
  balances: () => consumer('order.decided', settleOrder),
}
await runRole(() => (parts[setting('PART')] as () => Promise<RunningRole>)())

async function inTransaction<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    client.release()
  }
}

const addToOutbox = (client: pg.PoolClient, topic: keyof typeof queues, event: Event) =>
  client.query('insert into outbox (topic, payload) values ($1, $2)', [topic, JSON.stringify(event)])

async function api(): Promise<RunningRole> {
  const app = Fastify({ logger: false, forceCloseConnections: true })
  app.post<{ Body: { amount: number; asset: string } }>('/api/orders', async ({ headers, body }, reply) => {
    const token = String(headers.authorization).slice('Bearer '.length)
    const orderId = await inTransaction(async (client) => {
      const account = await client.query('select account_id from accounts where token = $1', [token])
      const accountId = account.rows[0].account_id as string
      const id = randomUUID()
      const key = await client.query(
        'insert into idempotency_keys values ($1, $2, $3) on conflict do nothing returning order_id',
        [accountId, headers['idempotency-key'], id],
      )
      if (key.rowCount === 0) {
        const found = await client.query('select order_id from idempotency_keys where (account_id, key) = ($1, $2)', [
          accountId,
          headers['idempotency-key'],
        ])
        return found.rows[0].order_id as string
      }
      const amount = Math.round(body.amount * 100)
      await client.query(
        'update accounts set cash = cash - $2, reserved = reserved + $2 where account_id = $1 and cash >= $2',
        [accountId, amount],
      )
      await client.query(
        `insert into orders (order_id, account_id, asset, amount, state) values ($1, $2, $3, $4, 'RESERVED')`,
        [id, accountId, body.asset, amount],
      )
      await addToOutbox(client, 'order.accepted', { orderId: id, accountId, asset: body.asset, amount })
      return id
    })
    return reply.code(202).send({ id: orderId })
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return { urls: { api: url }, stop: () => app.close() }
}

async function dispatcher(): Promise<RunningRole> {
  const connection = await connect(setting('BROKER_URL'))
  const channel = await connection.createConfirmChannel()
  const stopping = new AbortController()
  const publish = (topic: string, id: number, payload: unknown) =>
    new Promise<void>((resolve, reject) => {
      const content = Buffer.from(JSON.stringify(payload))
      channel.publish(exchange, topic, content, { persistent: true, messageId: String(id) }, (error) => {
        if (error === null || error === undefined) resolve()
        else reject(error as Error)
      })
    })
  const round = () =>
    inTransaction(async (client) => {
      const { rows } = await client.query(
        'select id, topic, payload from outbox where published_at is null order by id limit 100 for update skip locked',
      )
      for (const { id, topic, payload } of rows) {
        await publish(topic as string, id as number, payload)
        await client.query('update outbox set published_at = now() where id = $1', [id])
      }
      return rows.length
    })
  const polling = (async () => {
    // A full batch is followed by the next at once; only an idle dispatcher waits for its interval.
    while (!stopping.signal.aborted)
      if ((await round()) < 100) await pause(100, undefined, { signal: stopping.signal }).catch(() => {})
  })()
  return {
    stop: async () => {
      stopping.abort()
      await polling
      await connection.close()
    },
  }
}

async function consumer(
  topic: keyof typeof queues,
  apply: (client: pg.PoolClient, event: Event) => Promise<void>,
): Promise<RunningRole> {
  const connection = await connect(setting('BROKER_URL'))
  const channel = await connection.createChannel()
  const queue = queues[topic]
  await channel.assertExchange(exchange, 'topic', { durable: true })
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  await channel.bindQueue(queue, exchange, topic)
  await channel.prefetch(20)
  let isOpen = true
  const handle = async (message: ConsumeMessage): Promise<void> => {
    const event = JSON.parse(message.content.toString()) as Event
    const decided = topic === 'order.accepted' ? { ...event, filled: await execute(event) } : event
    await inTransaction(async (client) => {
      const fresh = await client.query('insert into processed_events values ($1, $2) on conflict do nothing', [
        queue,
        message.properties.messageId,
      ])
      if (fresh.rowCount === 1) await apply(client, decided)
    })
    if (isOpen) channel.ack(message)
  }
  await channel.consume(queue, (message) => {
    if (message !== null)
      handle(message).catch(() => {
        if (isOpen) channel.nack(message)
      })
  })
  return {
    stop: async () => {
      isOpen = false
      await connection.close()
      await pool.end()
    },
  }
}

async function execute({ orderId, asset, amount }: Event): Promise<boolean> {
  const response = await fetch(`${setting('B3_URL')}/orders/${orderId}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ asset, side: 'BUY', quantity: amount * 100, limitPriceCentavos: 3_742 }),
  })
  return ((await response.json()) as { status: string }).status === 'filled'
}

async function decideOrder(client: pg.PoolClient, event: Event): Promise<void> {
  await client.query('update orders set state = $2, updated_at = clock_timestamp() where order_id = $1', [
    event.orderId,
    event.filled === true ? 'FILLED' : 'REJECTED',
  ])
  await addToOutbox(client, 'order.decided', event)
}

async function settleOrder(client: pg.PoolClient, { orderId, accountId, amount, filled }: Event): Promise<void> {
  await client.query('update accounts set reserved = reserved - $2, cash = cash + $3 where account_id = $1', [
    accountId,
    amount,
    filled === true ? 0 : amount,
  ])
  await client.query('update orders set state = $2, updated_at = clock_timestamp() where order_id = $1', [
    orderId,
    filled === true ? 'SETTLED' : 'COMPENSATED',
  ])
}
