import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  cpSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Patch } from './mutant.ts'

/**
 * What git knows, with this checkout's installed packages and tools. A package there imports its own files from the copy, and other packages from
 * this checkout.
 *
 * @returns its folder, to be removed by the caller
 */
export function copyOfRepository(): string {
  const root = process.cwd()
  const copy = mkdtempSync(join(tmpdir(), 'malote-mutants-'))
  const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    encoding: 'utf8',
  })
  for (const file of files.split('\0').filter((one) => one !== '')) cpSync(join(root, file), join(copy, file))
  const folders = files.split('\0').filter((file) => file.endsWith('package.json'))
  for (const folder of folders.map((file) => dirname(file)))
    symlinkSync(join(root, folder, 'node_modules'), join(copy, folder, 'node_modules'))
  if (existsSync(join(root, '.tools'))) symlinkSync(join(root, '.tools'), join(copy, '.tools'))
  return copy
}

/** Does something while the patch is in the copy, and takes it out again. */
export async function withPatch<Result>(
  copy: string,
  { file, find, replace }: Pick<Patch, 'file' | 'find' | 'replace'>,
  work: () => Promise<Result>,
): Promise<Result> {
  const path = join(copy, file)
  const sound = readFileSync(path, 'utf8')
  unlinkSync(path)
  writeFileSync(
    path,
    sound.replace(find, () => replace),
  )
  try {
    return await work()
  } finally {
    writeFileSync(path, sound)
  }
}

/** How a program ended. */
export interface Ended {
  /** Null: it was ended, because its time was over or `stop` aborted. */
  readonly exitCode: number | null
  /** What it wrote. */
  readonly told: string
}

/** Runs a program in the copy and in a group of its own, so that what it started is ended with it. */
export async function runInCopy(
  copy: string,
  [program, ...args]: readonly [program: string, ...args: string[]],
  {
    env,
    timeLimitMs,
    stop,
  }: { readonly env: NodeJS.ProcessEnv; readonly timeLimitMs: number; readonly stop: AbortSignal },
): Promise<Ended> {
  // A file, not a pipe: a server that outlives the program would hold a pipe open.
  const path = join(copy, 'told.txt')
  const file = openSync(path, 'w')
  const child = spawn(program, args, { cwd: copy, env, stdio: ['ignore', file, file], detached: true })
  closeSync(file)
  const kill = (): void => void process.kill(-(child.pid as number), 'SIGKILL')
  const limit = setTimeout(kill, timeLimitMs)
  stop.addEventListener('abort', kill)
  const [exitCode] = (await once(child, 'exit')) as [number | null]
  clearTimeout(limit)
  stop.removeEventListener('abort', kill)
  return { exitCode, told: readFileSync(path, 'utf8') }
}
