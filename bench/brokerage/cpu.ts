import type { Brokerage } from '../../examples/brokerage/src/demo/start-brokerage.ts'
import { existsSync, readdirSync, readFileSync } from 'node:fs'

/** Processor time since it started, in milliseconds, by what a process is called here. Empty where there is no /proc. */
export type CpuByName = ReadonlyMap<string, number>

/** Linux counts in hundredths of a second, on every machine we know. */
const msPerTick = 10

interface ProcessTimes {
  readonly pid: number
  readonly parent: number
  readonly command: string
  readonly ms: number
}

/**
 * @param names - of the processes that have one, by their id; each counts with its descendants
 * @param nameOf - what a descendant of a named process is called, when not after it
 */
export function cpuByName(
  names: ReadonlyMap<number, string>,
  nameOf: (command: string, inherited: string) => string,
): CpuByName {
  const processes = new Map(readProcesses().map((one) => [one.pid, one]))
  const sums = new Map<string, number>()
  for (const one of processes.values()) {
    const owner = ownerOf(one, processes, names)
    if (owner === undefined) continue
    const name = nameOf(one.command, owner)
    sums.set(name, (sums.get(name) ?? 0) + one.ms)
  }
  return sums
}

/** What each process of a brokerage has used, the broker and the database among them: of that, the sessions of each role by themselves. */
export async function cpuOf({
  supervisor,
  services,
  pool,
}: Pick<Brokerage, 'supervisor' | 'services' | 'pool'>): Promise<CpuByName> {
  const { rows } = await pool.query<{ pid: number; name: string }>(
    `select pid, 'postgres of ' || coalesce(nullif(application_name, ''), 'this client') as name
     from pg_stat_activity where backend_type = 'client backend'`,
  )
  const sessions = rows.map(({ pid, name }) => [pid, name] as const)
  const roles = supervisor.status().flatMap(({ name, pid }) => (pid === null ? [] : [[pid, name] as const]))
  return cpuByName(new Map([...roles, ...sessions, [services.pid, 'broker']]), (command, name) =>
    command.startsWith('postgres') && !name.startsWith('postgres') ? 'postgres itself' : name,
  )
}

function ownerOf(
  one: ProcessTimes,
  processes: ReadonlyMap<number, ProcessTimes>,
  names: ReadonlyMap<number, string>,
): string | undefined {
  for (let at: ProcessTimes | undefined = one; at !== undefined; at = processes.get(at.parent)) {
    const name = names.get(at.pid)
    if (name !== undefined) return name
  }
  return undefined
}

function readProcesses(): readonly ProcessTimes[] {
  if (!existsSync('/proc/self/stat')) return []
  return readdirSync('/proc').flatMap((entry) => (/^\d+$/.test(entry) ? timesOf(Number(entry)) : []))
}

function timesOf(pid: number): readonly ProcessTimes[] {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
    // The command may hold spaces and parentheses: what follows its last one is in columns.
    const end = stat.lastIndexOf(')')
    const columns = stat.slice(end + 2).split(' ')
    const ticks = Number(columns[11]) + Number(columns[12])
    return [{ pid, parent: Number(columns[1]), command: stat.slice(stat.indexOf('(') + 1, end), ms: ticks * msPerTick }]
  } catch {
    return [] // Ended between the listing and the reading.
  }
}
