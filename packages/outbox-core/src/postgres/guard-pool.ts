/** What a `pg` pool and its clients share: they tell of lost connections by an `error` event, which ends the process when nobody listens. */
interface Emitter {
  on?(event: string, listener: (argument: never) => void): unknown
}

const guarded = new WeakSet<object>()

/**
 * Keeps a lost connection from ending the process. Call it with every pool that is handed in; calling it twice is harmless,
 * and anything that is not a pool is left alone.
 *
 * A `pg` pool emits `error` when an idle connection ends, and so does a client while it is checked out. A restart of the
 * database is enough for both, and without a listener Node ends the process. Nothing is hidden: the pool replaces the
 * connection, whoever was using it gets the error from the next query, and listeners of the application hear everything too.
 */
export function guardPool(pool: unknown): void {
  if (!isPool(pool) || guarded.has(pool)) return
  guarded.add(pool)
  pool.on('error', ignore)
  // Before the pool takes its own listener off a client, which it does as it hands the client out.
  pool.on('connect', guardClient)
  pool.on('acquire', guardClient)
}

function guardClient(client: unknown): void {
  if (typeof client !== 'object' || client === null || guarded.has(client)) return
  guarded.add(client)
  ;(client as Emitter).on?.('error', ignore)
}

function isPool(value: unknown): value is Required<Emitter> {
  return (
    typeof value === 'object' &&
    value !== null &&
    'connect' in value &&
    // A single client has it and its errors are its owner's business.
    !('getTransactionStatus' in value) &&
    'on' in value &&
    typeof value.on === 'function'
  )
}

function ignore(): void {}
