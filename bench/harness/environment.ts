import { execFileSync } from 'node:child_process'
import { readFileSync, statfsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, cpus, loadavg, platform, release, tmpdir, totalmem } from 'node:os'
import type pg from 'pg'
import { serverSettings } from './server.ts'

/** When and on what a question was asked. */
export interface Environment {
  /** ISO 8601. */
  readonly date: string
  /** Of the last 1, 5 and 15 minutes, as the question was asked. */
  readonly load: string
  /** What is the same for every question that is asked here, in the order it is printed. */
  readonly machine: Readonly<Record<string, string>>
}

const peers = [
  'graphile-worker',
  'pg-boss',
  'pg-transactional-outbox',
  '@aws-lambda-powertools/idempotency',
  '@node-idempotency/core',
  'pg',
  'kysely',
  'sqs-consumer',
] as const
const tmpfs = 0x01021994

export async function describeEnvironment(admin: pg.Pool): Promise<Environment> {
  return {
    date: new Date().toISOString(),
    load: loadavg()
      .map((load) => load.toFixed(2))
      .join(' '),
    machine: {
      cpu: `${cpus()[0]?.model ?? 'unknown'}, ${String(availableParallelism())} cores`,
      memory: `${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
      system: `${platform()} ${release()}`,
      node: process.version,
      postgresql: await server(admin),
      'data folder': statfsSync(tmpdir()).type === tmpfs ? 'tmpfs: figures say nothing about durable commits' : 'disk',
      peers: [...peers.map((name) => `${name} ${versionOf(name)}`), `River ${riverVersion()}`].join(', '),
    },
  }
}

/** The commit whose code is measured, and whether there is more than that. The documentation may differ: it is written here. */
export function measuredCommit(): string {
  const git = (...args: readonly string[]): string =>
    execFileSync('git', args, { cwd: new URL('../..', import.meta.url), encoding: 'utf8' }).trim()
  const changed = git('status', '--porcelain', '--untracked-files=no', '--', '.', ':!docs')
  return `${git('rev-parse', '--short', 'HEAD')}${changed === '' ? '' : ' with changes'}`
}

async function server(admin: pg.Pool): Promise<string> {
  const names = ['server_version', 'fsync', 'synchronous_commit', 'full_page_writes', ...Object.keys(serverSettings)]
  const { rows } = await admin.query<{ name: string; value: string }>(
    'select name, current_setting(name) as value from unnest($1::text[]) as name',
    [names],
  )
  return rows.map(({ name, value }) => (name === 'server_version' ? value : `${name} ${value}`)).join(', ')
}

function riverVersion(): string {
  const modules = readFileSync(new URL('../peers/river/go.mod', import.meta.url), 'utf8')
  return /riverqueue\/river v(\S+)/.exec(modules)?.[1] ?? 'unknown'
}

/** The version that is installed here, which is the one that was measured. */
export function versionOf(packageName: string): string {
  const folders = createRequire(import.meta.url).resolve.paths(packageName) ?? []
  for (const folder of folders) {
    try {
      const manifest = JSON.parse(readFileSync(`${folder}/${packageName}/package.json`, 'utf8')) as { version: string }
      return manifest.version
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error // ENOENT: the next folder is tried.
    }
  }
  return 'not installed'
}
