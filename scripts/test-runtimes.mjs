// `npm run test:runtimes`: the built packages on Bun and on Deno, whose binaries come from npm, against a real PostgreSQL. Expects `npm run build`.
import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { createTestDatabase } from '../testing/database.ts'
import { startPostgres } from '../testing/services/postgres.ts'

const runtimes = {
  'bun@1.4.5': ['bun', 'run'],
  'deno@2.9.6': ['deno', 'run', '--allow-all', '--no-lock', '--node-modules-dir=manual'],
}
const prefix = resolve('.tools/runtimes')
mkdirSync(prefix, { recursive: true })
const quiet = ['--no-save', '--no-audit', '--no-fund', '--loglevel=error']
execFileSync('npm', ['install', '--prefix', prefix, ...quiet, ...Object.keys(runtimes)], { stdio: 'inherit' })

const postgres = await startPostgres()
try {
  for (const [binary, ...flags] of Object.values(runtimes)) {
    const { url } = await createTestDatabase(postgres.url)
    const env = { ...process.env, DATABASE_URL: url, NODE_OPTIONS: '' }
    const args = [...flags, 'snippets/frameworks/runtime-smoke.mjs']
    // Awaited, not synchronous: our own PostgreSQL may be a child whose output is read here. A hang is a failure.
    const options = { cwd: 'docs', env, timeout: 120_000 }
    const { stdout } = await promisify(execFile)(join(prefix, 'node_modules/.bin', binary), args, options)
    process.stdout.write(stdout)
  }
} finally {
  await postgres.stop()
}
