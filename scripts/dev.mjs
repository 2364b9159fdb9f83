// Every `npm run …` starts here. Plain JavaScript without dependencies: on a bare machine it brings Node and pnpm first.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tasks } from './tasks.mjs'
import { fail, findNode, findPnpm } from './toolchain.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const node = findNode(root)
const pnpm = findPnpm(root)
// Changesets calls pnpm by its name.
const bins = [join(root, 'node_modules', '.bin'), join(dirname(pnpm), '..', '..', '.bin')]
const path = [dirname(node), ...bins, process.env.PATH].join(delimiter)
const env = { ...process.env, PATH: path, MALOTE_PNPM: pnpm }

const stamp = join(root, 'node_modules', '.malote-installed')
const lock = createHash('sha256')
  .update(readFileSync(join(root, 'pnpm-lock.yaml')))
  .digest('hex')
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock) {
  console.error('malote: installing dependencies')
  const args = [pnpm, 'install', '--frozen-lockfile', '--reporter=append-only']
  // To stderr: `--json` tasks own stdout.
  if (spawnSync(node, args, { cwd: root, stdio: ['ignore', 2, 2], env }).status !== 0)
    fail("pnpm install failed: see pnpm's message above")
  writeFileSync(stamp, lock)
}

process.exitCode = await tasks({ node, pnpm, root, env }, process.argv[2], process.argv.slice(3))
