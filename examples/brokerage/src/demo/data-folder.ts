import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { z } from 'zod'
import { type BrokerName, UsageError } from './arguments.ts'

const stateSchema = z.object({ broker: z.string(), postgres: z.string() })
const pidFiles = ['demo.pid', 'services.pid'] as const

/** A folder that outlives the demo: the queues, notes of who uses it, and where the database is. */
export interface DataFolder {
  readonly path: string
  /** Usually inside `path`; see `postgresFolder`. */
  readonly postgres: string
}

/**
 * Opens a data folder for one run. The processes of an earlier run that was killed are given time to end; a run that is
 * alive is left alone.
 *
 * @throws UsageError when another run is using it, it holds the queues of another broker, or it cannot be read and written
 */
export async function openDataFolder(folder: string, broker: BrokerName): Promise<DataFolder> {
  const path = resolve(folder)
  const stateFile = join(path, 'demo.json')
  const state = readState(folder, path, stateFile) ?? { broker, postgres: postgresFolder(path) }
  if (state.broker !== broker)
    throw new UsageError(
      `--data ${folder} holds the queues of ${state.broker}: use --broker ${state.broker}, or another folder`,
    )
  await whenFree(path)
  writeFileSync(`${stateFile}.new`, JSON.stringify(state))
  renameSync(`${stateFile}.new`, stateFile)
  noteUser(path, 'demo.pid')
  return { path, postgres: state.postgres }
}

/** Makes the folder if need be, and reads what an earlier run noted. Null: there was none. */
function readState(folder: string, path: string, stateFile: string): z.infer<typeof stateSchema> | null {
  try {
    mkdirSync(path, { recursive: true })
    const probe = join(path, `.probe-${String(process.pid)}`)
    writeFileSync(probe, '')
    rmSync(probe)
  } catch (error) {
    throw new UsageError(`--data ${folder} cannot be written: ${(error as Error).message}`, { cause: error })
  }
  if (!existsSync(stateFile)) return null
  try {
    return stateSchema.parse(JSON.parse(readFileSync(stateFile, 'utf8')))
  } catch (error) {
    throw new UsageError(
      `--data ${folder} is damaged: demo.json cannot be read; use another folder, or delete this one`,
      {
        cause: error,
      },
    )
  }
}

/**
 * PostgreSQL refuses to run as root and is started as another user then, who may not be able to enter a folder made by
 * `mktemp -d` or one below a private home. Then its files go to the system's temporary folder, and a note here says where.
 */
function postgresFolder(path: string): string {
  if (process.getuid?.() !== 0 || spawnSync('test', ['-x', path], { uid: nobody() }).status === 0)
    return join(path, 'postgres')
  return join(tmpdir(), `malote-demo-${randomUUID()}`)
}

function nobody(): number {
  return Number(spawnSync('id', ['-u', 'nobody'], { encoding: 'utf8' }).stdout)
}

/** Notes that this process uses the folder. Each writes its own file, before it touches anything else. */
export function noteUser(path: string, pidFile: (typeof pidFiles)[number]): void {
  writeFileSync(join(path, pidFile), String(process.pid))
}

async function whenFree(path: string): Promise<void> {
  const users = pidFiles.map((file) => join(path, file)).filter((file) => existsSync(file))
  const pids = users.map((file) => Number(readFileSync(file, 'utf8')))
  const deadline = performance.now() + 30_000
  for (;;) {
    const alive = pids.find(isDemo)
    if (alive === undefined) return
    if (performance.now() > deadline)
      throw new UsageError(`--data ${path} is used by process ${String(alive)}: end it, or use another folder`)
    await pause(100)
  }
}

/** Whether the process is one of ours and not another that was given the number since. */
function isDemo(pid: number): boolean {
  if (pid === process.pid) return false // A container starts its processes with the same numbers again.
  try {
    if (existsSync('/proc/self')) return readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8').includes('src/demo/')
    process.kill(pid, 0)
    return true
  } catch {
    return false // No such process.
  }
}
