// Part of pack-check: uses the packed packages as a stranger does, in empty folders outside of the repository. The quickstart is pasted from
// the README as it is printed; the template of `npm create malote` runs its own tests; both on a real PostgreSQL. What the guide to adapters prints becomes
// a publisher and its test, which runs the exported kit.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { createTestDatabase } from '../testing/database.ts'
import { stablePort } from '../testing/services/stable-port.ts'
import { startPostgres } from '../testing/services/postgres.ts'
import { serverUser } from '../testing/services/server-user.ts'

const quiet = ['--no-audit', '--no-fund', '--loglevel=error']

/** @throws Error with what the command printed */
async function run(command, args, options) {
  try {
    await promisify(execFile)(command, args, { ...options, maxBuffer: 2 ** 26 })
  } catch (error) {
    throw new Error(`${error.message}\n${error.stdout ?? ''}`, { cause: error })
  }
}

/**
 * All at the same time: most of it is waiting for a registry.
 *
 * @param {string} work - a folder that exists and will be removed
 * @param {(name: string) => string} tarballOf - the tarball of a package
 */
export async function useFromOutside(work, tarballOf) {
  const postgres = await startPostgres()
  try {
    const libraries = ['@malote/outbox-core', '@malote/idempotency'].map(tarballOf)
    await Promise.all([
      quickstart(folderIn(work, 'quickstart'), await databaseOf(postgres), libraries),
      template(work, tarballOf),
      adapterGuide(folderIn(work, 'adapter'), tarballOf('@malote/outbox-core')),
    ])
  } finally {
    await postgres.stop()
  }
}

/** Environment of a folder whose service has a database of its own. */
async function databaseOf(postgres) {
  const { url } = await createTestDatabase(postgres.url)
  return { ...process.env, DATABASE_URL: url }
}

async function quickstart(cwd, env, tarballs) {
  const startedMs = performance.now()
  await run('npm', ['init', '-y'], { cwd })
  await run('npm', ['install', ...quiet, ...tarballs, 'pg'], { cwd })
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

/**
 * A service of `npm create malote`, made and tested on the PostgreSQL that it brings itself, by the strictest of the package managers: pnpm, which
 * shows a service only what it asks for and runs no install script. Its tests must not use the broker of the service, so there is none at AMQP_URL.
 */
async function template(work, tarballOf) {
  const startedMs = performance.now()
  const cwd = await makeService(work, tarballOf)
  appendFileSync(
    join(cwd, 'pnpm-workspace.yaml'),
    ['overrides:', ...ours(cwd, tarballOf).map(([name, file]) => `  '${name}': ${file}`), ''].join('\n'),
  )
  const install = ['install', '--prefer-offline', '--package-import-method=copy']
  await run(process.execPath, [process.env.MALOTE_PNPM, ...install], { cwd })
  await testAsNobody(work, cwd, { AMQP_URL: 'amqp://127.0.0.1:1' })
  console.log(`a service of \`npm create malote\` passes its tests under pnpm, in ${seconds(startedMs)} s`)
}

/** The folder of a new service that installs the packages from their tarballs. */
export async function makeService(work, tarballOf) {
  const create = ['exec', '--yes', `--package=${tarballOf('create-malote')}`, '--', 'create-malote', 'my-service']
  await run('npm', create, { cwd: work })
  const cwd = join(work, 'my-service')
  const manifest = JSON.parse(readFileSync(join(cwd, 'package.json'), 'utf8'))
  Object.assign(manifest.dependencies, Object.fromEntries(ours(cwd, tarballOf)))
  writeFileSync(join(cwd, 'package.json'), JSON.stringify(manifest))
  return cwd
}

/** What a new service asks of us, by the tarball that holds it. */
function ours(cwd, tarballOf) {
  const { dependencies } = JSON.parse(readFileSync(join(cwd, 'package.json'), 'utf8'))
  const names = Object.keys(dependencies).filter((name) => name.startsWith('@malote/'))
  return names.map((name) => [name, `file:${tarballOf(name)}`])
}

/** Runs the service's own test script. PostgreSQL refuses to run as root, so as root somebody else does it, who may not be able to enter our home. */
export async function testAsNobody(work, cwd, variables) {
  const { scripts } = JSON.parse(readFileSync(join(cwd, 'package.json'), 'utf8'))
  const env = { ...process.env, POSTGRES_PORT: String(await stablePort()), ...variables }
  delete env.NODE_OPTIONS
  const user = serverUser()
  if (user.uid !== undefined) {
    chmodSync(work, 0o755)
    cpSync(process.execPath, join(work, 'bin', 'node'))
    env.PATH = `${join(work, 'bin')}:${env.PATH}`
    await run('chown', ['-R', `${user.uid}:${user.gid}`, cwd])
  }
  await run('sh', ['-c', scripts.test], { ...user, cwd, env })
}

/** The files that the guide prints, as it prints them: they compile, and the publisher passes the kit. */
async function adapterGuide(cwd, tarball) {
  const startedMs = performance.now()
  const guide = readFileSync('docs/writing-an-adapter.md', 'utf8')
  const files = [...guide.matchAll(/<!-- snippet: (\S+) -->\n```ts\n([\s\S]*?)^```$/gm)]
  for (const [, file, code] of files) writeFileSync(join(cwd, basename(file)), code)
  writeFileSync(join(cwd, 'package.json'), '{ "private": true, "type": "module" }')
  const tools = ['vitest', 'typescript', '@types/node'].map(ofOurs)
  await run('npm', ['install', ...quiet, '-D', tarball, ...tools], { cwd })
  await run('npm', ['exec', '--', 'tsc', ...typeFlags, ...files.map(([, file]) => basename(file))], { cwd })
  await run('npm', ['exec', '--', 'vitest', 'run', '--reporter=json', '--outputFile=report.json'], { cwd })
  const { numPassedTests, numTotalTests } = JSON.parse(readFileSync(join(cwd, 'report.json'), 'utf8'))
  if (numPassedTests < 20 || numPassedTests !== numTotalTests)
    throw new Error(`the guide's publisher passed ${numPassedTests} of ${numTotalTests} tests`)
  console.log(
    `the guide's publisher compiles and passes ${numPassedTests} tests of the kit, in ${seconds(startedMs)} s`,
  )
}

const typeFlags =
  '--noEmit --strict --skipLibCheck --module nodenext --target es2022 --allowImportingTsExtensions --types node'.split(
    ' ',
  )
const { devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'))
const ofOurs = (name) => `${name}@${devDependencies[name]}`

function folderIn(work, name) {
  const folder = join(work, name)
  mkdirSync(folder)
  return folder
}

const seconds = (sinceMs) => Math.round((performance.now() - sinceMs) / 1000)
