import type { Publisher, RelayClient, RelayPool } from './library.ts'

/** Named points in the life of a batch. The names say what has just happened. */
export const relayPoints = [
  'lane-acquired',
  'read',
  'before-publish',
  'broker-accepted',
  'acknowledged',
  'mid-settle',
  'settled',
] as const
export const writerPoints = ['before-commit', 'committed'] as const
export const consumerPoints = ['before-effect', 'effect-applied', 'before-acknowledge'] as const
export type Failpoint = (typeof relayPoints)[number] | (typeof writerPoints)[number] | (typeof consumerPoints)[number]

/**
 * Points at which a process can be made to fail. They live in wrappers of what the library is handed (a publisher, a pool,
 * a handler), so the code under test holds no trace of them and production pays nothing.
 */
export interface Failpoints {
  /** The next passage through the point calls `action`; once. */
  arm(point: Failpoint, action: () => void | Promise<void>): void
  pass(point: Failpoint): Promise<void>
}

export function createFailpoints(): Failpoints {
  const armed = new Map<Failpoint, () => void | Promise<void>>()
  return {
    arm: (point, action) => void armed.set(point, action),
    pass: async (point) => {
      const action = armed.get(point)
      if (action === undefined) return
      armed.delete(point)
      await action()
    },
  }
}

/** Passes `before-publish`, then `broker-accepted` when the broker has the batch but the relay does not know it yet. */
export function publisherWithFailpoints(publisher: Publisher, failpoints: Failpoints): Publisher {
  return {
    name: publisher.name,
    close: () => publisher.close(),
    publish: async (batch, signal) => {
      await failpoints.pass('before-publish')
      const results = await publisher.publish(batch, signal)
      await failpoints.pass('broker-accepted')
      return results
    },
  }
}

/** Which step of a message's life a relay's statement is. Read from the SQL itself: a new shape of it fails the runner's own test. */
export type Statement = 'acquire' | 'read' | 'settle' | 'retry' | 'bury' | 'other'

export function statementOf(text: string): Statement {
  const sql = text.replace(/\s+/g, ' ').toLowerCase()
  if (/update \S*lanes\S* .*set owner = /.test(sql) && sql.includes('skip locked')) return 'acquire'
  if (sql.includes('insert into') && sql.includes('dead_letters')) return 'bury'
  if (/update \S*messages\S* .*set available_at/.test(sql)) return 'retry'
  if (/delete from \S*messages\S* /.test(sql) && !sql.includes('insert into')) return 'settle'
  if (sql.includes('as l (lane, floor, lim, bytes)')) return 'read'
  return 'other'
}

export interface PoolHooks {
  /** The database has deleted these messages and the relay is about to hear of it. */
  readonly onSettled?: (ids: readonly string[]) => void
}

/** Passes `lane-acquired`, `read`, `acknowledged` (before the settling statement is sent), `mid-settle` and `settled`. */
export function poolWithFailpoints(pool: RelayPool, failpoints: Failpoints, hooks: PoolHooks = {}): RelayPool {
  return {
    connect: async () => clientWithFailpoints(await pool.connect(), failpoints, hooks),
    // Without it the relay cannot listen for the errors of connections that are not its own yet.
    on: (event, listener) => pool.on?.(event, listener),
  }
}

function clientWithFailpoints(client: RelayClient, failpoints: Failpoints, hooks: PoolHooks): RelayClient {
  const query: RelayClient['query'] = async (text, values) => {
    const statement = statementOf(typeof text === 'string' ? text : text.text)
    if (statement === 'settle') await failpoints.pass('acknowledged')
    const answer = client.query(text, values)
    if (statement === 'settle') await failpoints.pass('mid-settle')
    const result = await answer
    if (statement === 'acquire' && result.rows.length > 0) await failpoints.pass('lane-acquired')
    if (statement === 'read' && result.rows.length > 0) await failpoints.pass('read')
    if (statement === 'settle') {
      hooks.onSettled?.(idsOf(values))
      await failpoints.pass('settled')
    }
    return result
  }
  return new Proxy(client, {
    get: (target, name) => {
      if (name === 'query') return query
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

/** The message ids among a settling statement's parameters: the only array of UUIDs. */
function idsOf(values: readonly unknown[] = []): readonly string[] {
  for (const value of values) {
    const items = Array.isArray(value)
      ? value.map(String)
      : String(value)
          .replace(/^\{|\}$/g, '')
          .split(',')
    if (items.every((item) => /^[0-9a-f]{8}-/.test(item))) return items
  }
  return []
}
