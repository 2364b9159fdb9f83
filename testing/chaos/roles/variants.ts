import { setTimeout as sleep } from 'node:timers/promises'
import { nowMs } from '../journal.ts'
import type { DeliveryHandler, OutboxMessage, Publisher, PublishResult, RelayClient, RelayPool } from '../library.ts'
import { statementOf } from '../failpoints.ts'
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
      // One message of the batch fails for no reason, what stands behind it is sent all the same.
      return async (batch, signal) => {
        const [first, ...others] = batch
        if (first === undefined || Math.random() > 0.05) return publisher.publish(batch, signal)
        return [failed(first), ...(await publisher.publish(others, signal))]
      }
    case 'zombie-failures':
    case 'retry-without-fence':
      // Slow enough to be caught by a pause, and after it nothing was sent: what a zombie then writes down must not count.
      return async (batch, signal) => {
        const startedAtMs = nowMs()
        await sleep(100)
        return nowMs() - startedAtMs > leaseMs ? batch.map(failed) : publisher.publish(batch, signal)
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

const failed = ({ id }: OutboxMessage): PublishResult => ({
  id,
  status: 'failed',
  failure: { kind: 'retryable', code: 'CHAOS', message: 'failed for no reason' },
})

/** Takes the fence, or the floor's look at the writers' locks, out of the statements a relay sends. */
export function poolVariant(pool: RelayPool, variant: Variant): RelayPool {
  const rewrite = rewrites[variant]
  if (rewrite === undefined) return pool
  return {
    connect: async () => {
      const client = await pool.connect()
      const query: RelayClient['query'] = (text, values) => client.query(rewrite(text), values)
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

const rewrites: Partial<Record<Variant, (text: string) => string>> = {
  'floor-without-locks': (text) =>
    text.includes('pg_locks') ? text.replace("mode = 'RowExclusiveLock'", "mode = 'RowExclusiveLock' and false") : text,
  'retry-without-fence': (text) =>
    ['retry', 'bury'].includes(statementOf(text))
      ? text
          .replace('mine.lane = lanes.lane and mine.fence = lanes.fence', 'mine.lane = lanes.lane')
          .replace('join alive on alive.id = lanes.owner', '')
      : text,
}

/** Acknowledges before the effect is committed. */
export function handlerVariant(handler: DeliveryHandler, variant: Variant): DeliveryHandler {
  if (variant !== 'acknowledge-before-commit') return handler
  return (delivery) => {
    setTimeout(() => void handler(delivery).catch(() => {}), 20)
    return Promise.resolve()
  }
}
