import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { DemoSummary } from '../src/demo/report.ts'

const main = fileURLToPath(new URL('../src/demo/main.ts', import.meta.url))

export interface DemoProcess {
  readonly child: ChildProcess
  /** What it printed so far on stderr. */
  readonly stderr: () => string
  /** Resolves when stderr matches; rejects when the demo ends first. */
  whenSaid(pattern: RegExp): Promise<void>
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>
}

/** Starts `npm run demo` without npm, in a process group of its own that can be killed as a whole. */
export function startDemo(...args: string[]): DemoProcess {
  const child = spawn(process.execPath, ['--conditions=@malote/source', main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let [stdout, stderr] = ['', '']
  const watchers = new Set<() => void>()
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
    for (const watcher of watchers) watcher()
  })
  const ended = once(child, 'close').then(() => ({ code: child.exitCode, stdout, stderr }))
  return {
    child,
    stderr: () => stderr,
    ended,
    whenSaid: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (!pattern.test(stderr)) return
          watchers.delete(look)
          resolve()
        }
        watchers.add(look)
        void ended.then(() => reject(new Error(`the demo ended without saying ${String(pattern)}:\n${stderr}`)))
        look()
      }),
  }
}

/** Runs a demo to its end. @returns the JSON it printed, all of stdout. @throws Error when it ends with anything but 0 */
export async function demo(...args: string[]): Promise<DemoSummary> {
  const { code, stdout, stderr } = await startDemo('--json', ...args).ended
  if (code !== 0) throw new Error(`the demo ended with ${String(code)}:\n${stderr}`)
  return JSON.parse(stdout) as DemoSummary
}

/** The process and all its descendants, as far as /proc tells; empty where there is none. */
export function processTree(root: number): readonly number[] {
  if (!existsSync('/proc/self')) return []
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc'))
    if (/^\d+$/.test(name)) {
      const parent = parentOf(Number(name))
      if (parent !== null) parents.set(Number(name), parent)
    }
  const tree = new Set([root])
  for (let grown = true; grown;) {
    grown = false
    for (const [pid, parent] of parents)
      if (tree.has(parent) && !tree.has(pid)) {
        tree.add(pid)
        grown = true
      }
  }
  return [...tree]
}

/** Processes of the list that still run; a zombie nobody has waited for yet has ended. */
export function stillRunning(pids: readonly number[]): readonly number[] {
  return pids.filter((pid) => parentOf(pid) !== null)
}

function parentOf(pid: number): number | null {
  try {
    // Fields after the command, which may itself hold spaces and parentheses: state, parent, …
    const fields =
      readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
        .split(') ')
        .at(-1)
        ?.split(' ') ?? []
    return fields[0] === 'Z' ? null : Number(fields[1])
  } catch {
    return null // Ended.
  }
}
