import type { DeliveryHandler, Publisher, PublishResult, RelayClient, RelayPool } from '../library.ts'
import { statementOf } from '../failpoints.ts'
import type { Variant } from './role.ts'

/** Takes one of the publisher's rules out. */
export function publisherVariant(publisher: Publisher, variant: Variant): Publisher {
  if (variant === 'acknowledge-before-broker') {
    const publish: Publisher['publish'] = (batch, signal) => {
      // Says accepted before the broker did, and finds out too late.
      setTimeout(() => void publisher.publish(batch, signal).catch(() => {}), 20)
      return Promise.resolve(batch.map(({ id }): PublishResult => ({ id, status: 'accepted' })))
    }
    return { name: publisher.name, close: () => publisher.close(), publish }
  }
  if (variant === 'send-behind-a-failure') {
    const publish: Publisher['publish'] = async (batch, signal) => {
      // One message of the batch fails for no reason, what stands behind it is sent all the same.
      const [failed, ...others] = batch
      if (failed === undefined || Math.random() > 0.05) return publisher.publish(batch, signal)
      const failure = { kind: 'retryable', code: 'CHAOS', message: 'skipped' } as const
      return [{ id: failed.id, status: 'failed', failure }, ...(await publisher.publish(others, signal))]
    }
    return { name: publisher.name, close: () => publisher.close(), publish }
  }
  return publisher
}

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
