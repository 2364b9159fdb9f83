import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { z } from 'zod'
import { type BrokerName, UsageError } from './arguments.ts'

const stateSchema = z.object({ broker: z.string(), pids: z.array(z.int()) })

/** A folder that outlives the demo: the database, the queues, and a note of who uses it. */
export interface DataFolder {
  readonly path: string
  /** Notes that these processes use the folder from now on. */
  claim(pids: readonly number[]): void
}

/**
 * Opens a folder for one run. The processes of an earlier run that was killed are given time to end; a run that is alive is
 * left alone.
 *
 * @throws UsageError when another run is using it, or it holds the queues of another broker
 */
export async function openDataFolder(folder: string, broker: BrokerName): Promise<DataFolder> {
  const path = resolve(folder)
  mkdirSync(path, { recursive: true })
  // As root PostgreSQL runs as another user, who must be able to enter (not list) a folder made by `mktemp -d`.
  if (process.getuid?.() === 0) chmodSync(path, statSync(path).mode | 0o011)
  const stateFile = join(path, 'demo.json')
  const state = existsSync(stateFile) ? stateSchema.parse(JSON.parse(readFileSync(stateFile, 'utf8'))) : undefined
  if (state !== undefined && state.broker !== broker)
    throw new UsageError(
      `--data ${folder} holds the queues of ${state.broker}: use --broker ${state.broker}, or another folder`,
    )
  await whenFree(folder, state?.pids ?? [])
  return {
    path,
    claim: (pids) => writeFileSync(stateFile, JSON.stringify({ broker, pids })),
  }
}

async function whenFree(folder: string, pids: readonly number[]): Promise<void> {
  const deadline = performance.now() + 20_000
  for (;;) {
    const alive = pids.find(isDemo)
    if (alive === undefined) return
    if (performance.now() > deadline)
      throw new UsageError(`--data ${folder} is used by process ${String(alive)}: end it, or use another folder`)
    await pause(100)
  }
}

/** Whether the process is one of ours and not another that was given the number since. */
function isDemo(pid: number): boolean {
  try {
    if (existsSync('/proc/self')) return readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8').includes('src/demo/')
    process.kill(pid, 0)
    return true
  } catch {
    return false // No such process.
  }
}
