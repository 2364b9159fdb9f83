// The tasks behind `npm run …`, called by dev.mjs once Node, pnpm and the dependencies are there.
import { spawn } from 'node:child_process'

const source = '--conditions=@malote/source'
const task = {
  demo: (args) => [['node', source, 'examples/brokerage/src/demo/main.ts', ...args]],
  test: (args) => [['vitest', 'run', ...args]],
  // What is promised of PostgreSQL's older versions, one after the other; the newest is what every other test runs on.
  'test-postgres': (args) => [['node', 'scripts/test-postgres.mjs', ...args]],
  // The same tests with no more than the documented grants: what they lack is a defect of `malote grants`.
  'test-roles': (args) => [['node', 'scripts/test-roles.mjs', ...args]],
  'test-nest': (args) => [['node', 'scripts/test-nest.mjs', ...args]],
  'test-runtimes': () => [...task.build(), ['node', source, 'scripts/test-runtimes.mjs']],
  lint: () => [
    ['oxfmt', '--check', '.'],
    ['oxlint', '--type-aware', '--deny-warnings'],
    ['tsc', '-p', 'tsconfig.json'],
  ],
  check: () => [...task.lint(), ['vitest', 'run', '--project', 'unit']],
  format: () => [
    ['oxfmt', '.'],
    ['oxlint', '--type-aware', '--fix'],
  ],
  build: () => [['pnpm', '-r', '--filter', './packages/*', 'run', 'build']],
  'pack-check': (args) => [...task.build(), ['node', 'scripts/pack-check.mjs', ...args]],
  'release-check': (args) => [['node', 'scripts/release-check.mjs', ...args]],
  sbom: (args) => [...task.build(), ['node', 'scripts/sbom.mjs', ...args]],
  'api-report': (args) => [['node', 'scripts/api-report.ts', ...args]],
  // The API reference as Markdown, then the site; with --serve, a look at it.
  docs: (args) => [['node', 'scripts/docs.mjs', ...args]],
  chaos: (args) => [['node', source, 'testing/chaos/main.ts', ...args]],
  soak: (args) => [['node', source, 'testing/chaos/soak.ts', ...args]],
  bench: (args) => [['node', source, 'bench/main.ts', ...args]],
  mutants: (args) => [['node', source, 'testing/mutants/main.ts', ...args]],
  judges: (args) =>
    (args.includes('--planted')
      ? ['planted']
      : ['python', 'sqs', 'rabbitmq', 'confluent', 'nats', 'schemathesis', 'spin']
    ).map((judge) => ['node', source, `testing/judges/${judge}.ts`, ...args]),
  exec: (args) => [args],
}

/** Tasks whose commands know nothing of each other: all of them run, whatever one says. */
const runAll = new Set(['judges'])

/** Runs the named task's commands one after the other and returns the first non-zero exit code, or 0. */
export async function tasks({ node, pnpm, root, env }, name, args) {
  if (!(name in task)) {
    console.error(`malote: no task "${name}"; there are: ${Object.keys(task).join(', ')}`)
    return 2
  }
  let firstCode = 0
  for (const [command, ...rest] of task[name](args)) {
    const [file, fileArgs] =
      command === 'node' ? [node, rest] : command === 'pnpm' ? [node, [pnpm, ...rest]] : [command, rest]
    const code = await run(file, fileArgs, { cwd: root, env })
    if (code !== 0 && !runAll.has(name)) return code
    if (code !== 0) console.error(`malote: ${[command, ...rest].join(' ')} ended with ${code}`)
    firstCode ||= code
  }
  return firstCode
}

function run(file, args, options) {
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: 'inherit', shell: process.platform === 'win32', ...options })
    // A terminal's Ctrl-C reaches the child too; waiting here lets it end its own children first.
    const forward = (signal) => child.kill(signal)
    process.on('SIGINT', () => {}).on('SIGTERM', forward)
    child.on('error', (error) => {
      console.error(`malote: cannot run ${file}: ${error.message}`)
      resolve(1)
    })
    child.on('exit', (code, signal) => {
      process.removeAllListeners('SIGINT').removeListener('SIGTERM', forward)
      resolve(code ?? (signal === 'SIGINT' ? 130 : 1))
    })
  })
}
