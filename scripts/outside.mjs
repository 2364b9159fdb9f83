// Part of pack-check: uses the packed packages as a stranger does, in empty folders outside of the repository. The quickstart is pasted from
// the README as it is printed; the template of `npm create malote` runs its own tests; both on a real PostgreSQL.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { createTestDatabase } from '../testing/database.ts'
import { startPostgres } from '../testing/services/postgres.ts'

const quiet = ['--no-audit', '--no-fund', '--loglevel=error']

/**
 * @param {string} work - a folder that exists and will be removed
 * @param {(name: string) => string} tarballOf - the tarball of a package
 */
export async function useFromOutside(work, tarballOf) {
  const postgres = await startPostgres()
  try {
    const libraries = ['@malote/outbox-core', '@malote/idempotency'].map(tarballOf)
    await quickstart(folderIn(work, 'quickstart'), await onDatabaseOf(postgres), libraries)
    template(work, await onDatabaseOf(postgres), tarballOf)
  } finally {
    await postgres.stop()
  }
}

/** Environment and command runner of a folder whose service has a database of its own. */
async function onDatabaseOf(postgres) {
  const { url } = await createTestDatabase(postgres.url)
  const env = { ...process.env, DATABASE_URL: url }
  const run = (command, args, cwd) =>
    execFileSync(command, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  return { env, run }
}

async function quickstart(cwd, { env, run }, tarballs) {
  const startedMs = performance.now()
  run('npm', ['init', '-y'], cwd)
  run('npm', ['install', ...quiet, ...tarballs, 'pg'], cwd)
  const [, code] = /```js\n([\s\S]*?)```/.exec(readFileSync('README.md', 'utf8'))
  writeFileSync(join(cwd, 'start.mjs'), code)
  const program = spawn(process.execPath, ['start.mjs'], { cwd, env, stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(program, 'exit')
  const steps = []
  for await (const line of createInterface({ input: program.stdout })) {
    steps.push(line[0])
    if (line.startsWith('4.')) program.kill('SIGINT')
  }
  const [exitCode] = await exited
  if (steps.join('') !== '123345' || exitCode !== 0)
    throw new Error(`the README's quickstart printed steps ${steps.join(' ')} and ended with ${exitCode}`)
  console.log(
    `the README's quickstart works in an empty folder, from \`npm init\` to Ctrl-C in ${seconds(startedMs)} s`,
  )
}

function template(work, { run }, tarballOf) {
  const startedMs = performance.now()
  run('npm', ['exec', '--yes', `--package=${tarballOf('create-malote')}`, '--', 'create-malote', 'my-service'], work)
  const cwd = join(work, 'my-service')
  // Not its own PostgreSQL here: there is one already.
  const manifest = JSON.parse(readFileSync(join(cwd, 'package.json'), 'utf8'))
  delete manifest.devDependencies
  for (const name of Object.keys(manifest.dependencies))
    if (name.startsWith('@malote/')) manifest.dependencies[name] = `file:${tarballOf(name)}`
  writeFileSync(join(cwd, 'package.json'), JSON.stringify(manifest))
  run('npm', ['install', ...quiet], cwd)
  run('npm', ['test'], cwd)
  console.log(`\`npm create malote\` makes a service whose tests pass, in ${seconds(startedMs)} s`)
}

function folderIn(work, name) {
  const folder = join(work, name)
  mkdirSync(folder)
  return folder
}

const seconds = (sinceMs) => Math.round((performance.now() - sinceMs) / 1000)
