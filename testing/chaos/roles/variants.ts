import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { nowMs } from '../journal.ts'
import type {
  DeliveryHandler,
  Inbox,
  OutboxMessage,
  Publisher,
  PublishResult,
  RelayClient,
  RelayPool,
} from '../library.ts'
import { statementOf } from '../failpoints.ts'
import type { ChaosConsumerOptions } from '../brokers/broker.ts'
import type { RoleSettings, Variant } from './role.ts'

/** Takes one of the publisher's rules out. */
export function publisherVariant(publisher: Publisher, { variant, leaseMs }: RoleSettings): Publisher {
  const publish = publishVariant(publisher, variant, leaseMs)
  return publish === null ? publisher : { name: publisher.name, close: () => publisher.close(), publish }
}

function publishVariant(publisher: Publisher, variant: Variant, leaseMs: number): Publisher['publish'] | null {
  switch (variant) {
    case 'acknowledge-before-broker':
      // Says accepted before the broker did, and finds out too late.
      return (batch, signal) => {
        setTimeout(() => void publisher.publish(batch, signal).catch(() => {}), 20)
        return Promise.resolve(batch.map(({ id }): PublishResult => ({ id, status: 'accepted' })))
      }
    case 'send-behind-a-failure':
      // One message of the batch fails for no reason, what stands behind it is sent all the same. Slow, so that the next batch
      // has several messages of a key.
      return async (batch, signal) => {
        const [first, ...others] = batch
        await sleep(150)
        if (first === undefined || Math.random() > 0.3) return publisher.publish(batch, signal)
        return [failed(first), ...(await publisher.publish(others, signal))]
      }
    case 'blame-messages':
      // What somebody can mend is charged to the messages.
      return async (batch, signal) => (await publisher.publish(batch, signal)).map(asIfItsOwnFault)
    case 'zombie-failures':
    case 'retry-without-fence':
      // Slow, so that a pause of twice the lease meets it on both sides: the paused relay hears of a failure afterwards, while
      // the new owner is still publishing the same messages. What the zombie then writes down must not count. Two batches of
      // three are not slow, or the outbox would fill faster than it drains.
      return async (batch, signal) => {
        if (Math.random() > 0.35) return publisher.publish(batch, signal)
        const startedAtMs = nowMs()
        await sleep(leaseMs * 0.9)
        return nowMs() - startedAtMs > leaseMs * 1.8 ? batch.map(refused) : publisher.publish(batch, signal)
      }
    case 'poison-exits':
    case 'poison-exhausts-memory':
      return (batch, signal) => {
        if (!batch.some(({ type }) => type === poisonType)) return publisher.publish(batch, signal)
        return variant === 'poison-exits' ? process.exit(1) : exhaustMemory()
      }
    default:
      return null
  }
}

/** Type of the message that kills whoever publishes it. */
export const poisonType = 'chaos.poison'

function exhaustMemory(): never {
  const kept: number[][] = []
  for (;;) kept.push(Array.from({ length: 100_000 }, (_, index) => index + kept.length))
}

const refusedCode = 'REFUSED'

/** For good: an abort of the publish, which a pause brings about as well, does not turn it into an outage. */
const refused = ({ id }: OutboxMessage): PublishResult => ({
  id,
  status: 'failed',
  failure: { kind: 'permanent', code: refusedCode, message: 'refused for no reason' },
})

function asIfItsOwnFault(result: PublishResult): PublishResult {
  if (result.status === 'accepted' || result.failure.kind !== 'unavailable') return result
  const { code, message } = result.failure
  return { ...result, failure: { kind: 'retryable', code, message } }
}

const failed = ({ id }: OutboxMessage): PublishResult => ({
  id,
  status: 'failed',
  failure: { kind: 'retryable', code: 'CHAOS', message: 'failed for no reason' },
})

/** Takes the fence, the look at who owns a lane, or the floor's look at the writers' locks, out of the statements a relay sends. */
export function poolVariant(pool: RelayPool, variant: Variant): RelayPool {
  const isZombie = variant === 'zombie-failures' || variant === 'retry-without-fence'
  const rewrite = rewrites[variant] ?? ((text: string): string => text)
  return {
    on: (event, listener) => pool.on?.(event, listener),
    connect: async () => {
      const client = await pool.connect()
      const query: RelayClient['query'] = async (statement, values) => {
        const { text, ...how } = typeof statement === 'string' ? { text: statement } : statement
        const rewritten = { ...how, text: rewrite(text) }
        if (!isZombie || !isFailure(text) || !isOfRefusals(values)) return client.query(rewritten, values)
        const late = await pool.connect()
        try {
          // An owner may bury, and a busy machine makes it as slow as a pause does: then nothing is written, and it starts over.
          if (await isOwner(late, values)) return { rows: [{ fenced: -1 }], rowCount: 1 }
          // As if it had been on its way when the relay lost its session: it reaches the server all the same.
          return await late.query(rewritten, values)
        } finally {
          late.release()
        }
      }
      return new Proxy(client, {
        get: (target, name) => {
          if (name === 'query') return query
          const value: unknown = Reflect.get(target, name)
          return typeof value === 'function' ? (value.bind(target) as unknown) : value
        },
      })
    },
  }
}

/** Whether a lane of a fenced statement still is as its sender took it. If none is, none ever will be again. */
async function isOwner(client: RelayClient, values: readonly unknown[] = []): Promise<boolean> {
  const [, lanes, laneFences] = values
  const { rows } = await client.query(
    'select 1 from unnest($1::integer[], $2::bigint[]) as mine (lane, fence) join malote.lanes using (lane, fence) limit 1',
    [lanes, laneFences],
  )
  return rows.length > 0
}

/** Whether a write of failures has any of `refused`. What fails for other reasons its owner must write down, or it fails for ever. */
const isOfRefusals = (values: readonly unknown[] = []): boolean =>
  values.some((value) => (Array.isArray(value) ? value.includes(refusedCode) : String(value).includes(refusedCode)))

const isFailure = (text: string): boolean => ['retry', 'bury'].includes(statementOf(text))

const rewrites: Partial<Record<Variant, (text: string) => string>> = {
  // Most: what stays for good would be published at every change of owner.
  'published-rows-stay': (text) =>
    statementOf(text) === 'settle' ? text.replace('where m.ctid = any', 'where random() < 0.9 and m.ctid = any') : text,
  'take-owned-lanes': (text) =>
    statementOf(text) === 'acquire' ? text.replace('owner is null and', 'owner is distinct from $1::uuid and') : text,
  'lanes-stay-away': (text) => (/insert into \S*lanes/.test(text) ? 'select 1' : text),
  'floor-without-locks': (text) => text.replace("mode = 'RowExclusiveLock'", "mode = 'RowExclusiveLock' and false"),
  'retry-without-fence': (text) =>
    isFailure(text)
      ? text
          .replace('mine.lane = lanes.lane and mine.fence = lanes.fence', 'mine.lane = lanes.lane')
          .replace('join alive on alive.id = lanes.owner', '')
      : text,
}

/** Where a writer adds: to its own transaction, or beside it. */
export async function addVariant(
  variant: Variant,
  { tx, pool }: { readonly tx: pg.PoolClient; readonly pool: pg.Pool },
  add: (client: pg.PoolClient) => Promise<unknown>,
): Promise<void> {
  if (variant !== 'add-outside-the-transaction') return void (await add(tx))
  const beside = await pool.connect()
  try {
    await beside.query('begin')
    await add(beside)
    await beside.query('commit')
  } finally {
    beside.release()
  }
}

/** Applies in a transaction that keeps no proof: a message that comes again is applied again. */
export function inboxVariant(inbox: Inbox, variant: Variant): Pick<Inbox, 'transact'> {
  if (variant !== 'apply-without-inbox') return inbox
  return {
    transact: async (pool: pg.Pool, _message, apply) => {
      const client = await pool.connect()
      try {
        await client.query('begin')
        await apply(client as never)
        await client.query('commit')
        client.release()
        return 'processed'
      } catch (error) {
        client.release(true)
        throw error
      }
    },
  } as Pick<Inbox, 'transact'>
}

/** Acknowledges before the effect is committed. */
export function handlerVariant(handler: DeliveryHandler, variant: Variant): DeliveryHandler {
  if (variant !== 'acknowledge-before-commit') return handler
  return (delivery) => {
    setTimeout(() => void handler(delivery).catch(() => {}), 200)
    return Promise.resolve()
  }
}

/** Charges messages with what their handler's outages cost, as a consumer does that knows errors and no outages. */
export function consumerVariant(variant: Variant): Partial<ChaosConsumerOptions> {
  if (variant !== 'outages-cost-attempts') return {}
  return { isOutage: () => false, pauseAfterFailures: Number.POSITIVE_INFINITY, maxAttempts: 3, backoff: () => 100 }
}
