import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { payload, payloadText } from '../harness/load.ts'
import type { BenchDatabase } from '../harness/server.ts'
import type { Drainer } from './drainer.ts'
import type { LatencyRig } from './latency-rig.ts'

/** The worker's program, and where it was made from. */
const source = fileURLToPath(new URL('river', import.meta.url))
const program = join(fileURLToPath(new URL('../..', import.meta.url)), '.tools/bench-river/river')

const common = 'fetch cooldown 1 ms, poll interval 20 ms, no job timeout, pool of 20, a process of its own'
const drainWorkers = 10_000
const latencyWorkers = 100
export const riverConfiguration: string = `${drainWorkers.toLocaleString('en')} workers, ${common}`
export const riverLatencyConfiguration: string = `${String(latencyWorkers)} workers, ${common}`

let missing: string | null | undefined

/** Makes the worker of River, the first time. @returns what is missing for it; null: nothing */
export function whyNoRiver(): string | null {
  if (missing === undefined) missing = build()
  return missing
}

function build(): string | null {
  try {
    execFileSync('go', ['build', '-o', program, '.'], { cwd: source, stdio: ['ignore', 'ignore', 'pipe'] })
    return null
  } catch (error) {
    const { code, stderr } = error as NodeJS.ErrnoException & { readonly stderr?: Buffer }
    return code === 'ENOENT' ? 'the command `go` is missing' : `go build: ${String(stderr).trim().slice(0, 300)}`
  }
}

const migrate = (database: BenchDatabase): unknown => execFileSync(program, ['migrate', database.url])

const clear = (database: BenchDatabase): Promise<unknown> => database.admin.query('truncate river_job')

export async function createRiverDrainer(database: BenchDatabase, workers: number = drainWorkers): Promise<Drainer> {
  await migrate(database)
  return {
    name: 'river',
    clear: () => clear(database),
    // What its InsertMany inserts, in one statement, with the notification it sends.
    fill: (count) =>
      database.admin.query(
        `with added as (
           insert into river_job (args, kind, max_attempts) select $1::jsonb, 'order', 25 from generate_series(1, $2))
         ${notify}`,
        [payloadText, count],
      ),
    vacuum: () => database.admin.query('vacuum analyze river_job'),
    start: (onMessages) => startWorker(['drain', database.url, String(workers)], (line) => onMessages(Number(line))),
    // What is completed stays in the table, for a day.
    isEmpty: async () => {
      const { rows } = await database.admin.query(
        'select not exists (select from river_job where finalized_at is null) as empty',
      )
      return rows[0].empty === true
    },
  }
}

export async function createRiverLatencyRig(database: BenchDatabase): Promise<LatencyRig> {
  await migrate(database)
  return {
    add: (client, sentAt) =>
      client.query(
        `with added as (insert into river_job (args, kind, max_attempts) values ($1::jsonb, 'order', 25)) ${notify}`,
        [JSON.stringify({ ...payload, sentAt })],
      ),
    // The worker says when a job arrived, so that the way of its answer to us does not count.
    start: (onArrival) =>
      startWorker(['latency', database.url, String(latencyWorkers)], (line) => {
        const [sentAt, atMicros] = line.split(' ').map(Number) as [number, number]
        onArrival(sentAt, atMicros / 1_000 - performance.timeOrigin)
      }),
  }
}

const notify = `select pg_notify(current_schema() || '.river_insert', '{"queue":"default"}')`

async function startWorker(
  args: readonly string[],
  onLine: (line: string) => void,
): Promise<{ stop(): Promise<unknown> }> {
  const child: ChildProcessWithoutNullStreams = spawn(program, args)
  child.stderr.pipe(process.stderr)
  const exited = once(child, 'exit')
  const ready = new Promise<void>((resolve) => {
    createInterface(child.stdout).on('line', (line) => (line === 'ready' ? resolve() : onLine(line)))
  })
  const ended = exited.then(([code]) => {
    throw new Error(`the worker of River ended with ${String(code)}`)
  })
  ended.catch(() => {}) // Once it is ready, `stop` waits for its end.
  await Promise.race([ready, ended])
  return {
    stop: async () => {
      child.stdin.end()
      await exited
    },
  }
}
