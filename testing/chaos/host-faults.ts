import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Slot } from './cluster.ts'
import type { FaultLog, Harm, Hollow } from './fault-log.ts'

type HostFault = 'restart-pgbouncer' | 'partition-database' | 'partition-broker' | 'move-database-clock'

/** What happens to the machines and the network that everything stands on. Each needs a set-up of its own (see `surroundings.ts`). */
export function hostFaults(log: FaultLog): Record<HostFault, Harm> {
  const { cluster } = log
  const pulled = new Set<string>()
  /** A cable that is pulled already is left alone: whoever puts it back would end the other's cut as well. */
  const partition =
    (way: 'database' | 'broker'): Harm =>
    async (fault) => {
      const alive = cluster.of('relay').filter((slot) => slot.process?.isAlive === true)
      const cable = `${way} ${alive[fault.target % Math.max(1, alive.length)]?.process?.name ?? ''}`
      if (pulled.has(cable)) return
      pulled.add(cable)
      await log.onProcess('relay', fault, (slot) => cut(slot, way, fault.forMs * 2))
      pulled.delete(cable)
    }
  return {
    'restart-pgbouncer': (fault) =>
      log.onServer('postgres', fault, async () => {
        const { pooler } = cluster
        if (pooler === null) return 'there is no PgBouncer'
        await pooler.kill()
        const isGone = await refuses(pooler.port)
        await sleep(fault.forMs / 2)
        await pooler.start()
        return isGone ? undefined : 'it still answered'
      }),
    'partition-database': partition('database'),
    'partition-broker': partition('broker'),
    'move-database-clock': (fault) =>
      log.onServer('postgres', fault, async () => {
        const { databaseClock, pool } = cluster
        if (databaseClock === null) return 'the clock of the database host cannot be moved'
        const jumpMs = Math.sign(fault.jumpMs) * jumpOfMs
        databaseClock.move(jumpMs)
        await sleep(100)
        const { rows } = await pool
          .query<{ off: number }>(`select extract(epoch from clock_timestamp() - chaos.now())::float8 * 1000 as off`)
          .catch(() => ({ rows: [] })) // Down: nobody can say what time it is there.
        await sleep(fault.forMs)
        databaseClock.move(0)
        const off = rows[0]?.off ?? jumpMs
        return Math.abs(off - jumpMs) < 1_000 ? undefined : `its clock was off by ${String(Math.round(off))} ms`
      }),
  }
}

/** Several leases. What waits for its next attempt waits by that clock: an hour back would be an hour of waiting. */
const jumpOfMs = 10_000

/** Takes the link down as when a cable is pulled: nobody is told, packets just do not arrive. */
async function cut({ links }: Slot, way: 'database' | 'broker', forMs: number): Promise<Hollow> {
  if (links === null) return 'there are no network namespaces'
  const before = await links.reaches(way)
  links.set(way, 'down')
  const during = await links.reaches(way)
  await sleep(forMs)
  links.set(way, 'up')
  return before && !during ? undefined : `reached before: ${String(before)}, while it was cut: ${String(during)}`
}

async function refuses(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return false
  } catch {
    return true
  } finally {
    socket.destroy()
  }
}
