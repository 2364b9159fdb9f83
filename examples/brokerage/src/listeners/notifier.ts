import { createIdempotency } from '@malote/idempotency'
import type { LeaseStore } from '@malote/idempotency/redis'
import type pg from 'pg'
import type { Notice } from '../orders/order-events.ts'

/** Somebody else's service that reaches customers: by mail, by telephone. */
export interface Notifier {
  /**
   * Has it sent once for each message, however often the message comes.
   *
   * @throws Error when it was not sent, when nobody knows, and while another process is at it: come again
   */
  send(messageId: string, notification: Notice, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** Where the keys of calls live. `store` absent: in PostgreSQL. */
export interface Leases {
  readonly store?: LeaseStore
  close(): Promise<void>
}

type Environment = Readonly<Record<string, string | undefined>>

/** Longest wait for the service, in milliseconds. */
const callMs = 3_000

/**
 * A call to somebody else cannot commit with anything of ours. So it is made under a lease: the key is claimed before the call and
 * completed after it. When the one who called is gone and nobody knows whether the call arrived, the next one calls again, and the
 * service recognises the key that it is given.
 */
export function createNotifier(url: string, pool: pg.Pool, pepper: string, leases: Leases): Notifier {
  const idempotency = createIdempotency<pg.Pool, { readonly notification: Notice; readonly signal: AbortSignal }>({
    db: pool,
    pepper,
    tenant: () => 'brokerage',
    subject: ({ notification }) => notification.accountId,
  })
  const call = idempotency.lease(
    { operation: 'notify', onLeaseExpired: 'retry', ...(leases.store === undefined ? {} : { store: leases.store }) },
    async ({ request: { notification, signal: stopped }, signal, downstreamKey }) => {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': downstreamKey('notify') },
        body: JSON.stringify(notification),
        signal: AbortSignal.any([signal, stopped, AbortSignal.timeout(callMs)]),
      })
      await response.arrayBuffer()
      return { status: response.ok ? 200 : 503 }
    },
  )
  return {
    send: async (messageId, notification, signal) => {
      const headers: Readonly<Record<string, string>> = {
        'idempotency-key': messageId,
        'content-type': 'application/json',
      }
      const { status } = await call(
        {
          method: 'POST',
          url: '/notifications',
          headers: (name) => (headers[name] === undefined ? [] : [headers[name]]),
          body: Buffer.from(JSON.stringify(notification)),
        },
        { notification, signal },
      )
      if (status !== 200) throw new Error(`message ${messageId} was not notified: ${String(status)}`)
    },
    close: () => leases.close(),
  }
}

/** The notifier that the environment describes; null without `NOTIFIER_URL`. @throws Error naming the setting that is wrong or missing */
export async function connectNotifier(pool: pg.Pool, env: Environment = process.env): Promise<Notifier | null> {
  const url = env['NOTIFIER_URL'] ?? ''
  if (url === '') return null
  const pepper = needed(env, 'IDEMPOTENCY_PEPPER')
  return createNotifier(url, pool, pepper, await connectLeases(env))
}

/** The store named by `NOTIFICATION_LEASES`. Only the chosen one is loaded. */
async function connectLeases(env: Environment): Promise<Leases> {
  const name = env['NOTIFICATION_LEASES'] ?? 'postgres'
  switch (name) {
    case 'postgres':
      return { close: async () => {} }
    case 'redis': {
      const [{ createClient }, { createRedisLeaseStore }] = await Promise.all([
        import('redis'),
        import('@malote/idempotency/redis'),
      ])
      // A store that does not answer must fail, and not keep messages waiting.
      const client = createClient({ url: needed(env, 'REDIS_URL'), disableOfflineQueue: true })
      client.on('error', () => {}) // Each command says so itself, and the client connects again.
      client.connect().catch(() => {}) // It goes on trying, and a role must be able to start while Redis is away.
      return { store: createRedisLeaseStore({ client }), close: () => client.close() }
    }
    case 'dynamodb': {
      const [{ DynamoDBClient }, { createDynamodbLeaseStore }] = await Promise.all([
        import('@aws-sdk/client-dynamodb'),
        import('@malote/idempotency/dynamodb'),
      ])
      // Region and credentials are the environment's, as everywhere on AWS.
      const endpoint = env['DYNAMODB_ENDPOINT'] ?? ''
      const client = new DynamoDBClient(endpoint === '' ? {} : { endpoint })
      const store = createDynamodbLeaseStore({ client, tableName: needed(env, 'DYNAMODB_TABLE') })
      return { store, close: async () => client.destroy() }
    }
    default:
      throw new Error(`environment variable NOTIFICATION_LEASES is "${name}": it must be postgres, redis or dynamodb`)
  }
}

function needed(env: Environment, name: string): string {
  const value = env[name] ?? ''
  if (value === '') throw new Error(`environment variable ${name} is not set, and NOTIFIER_URL needs it`)
  return value
}
