// `npm run test:nest [-- 11]`: the tests of the Nest modules with another major version of Nest than the one we develop with.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { resolve } from 'node:path'

const majors = process.argv.length > 2 ? process.argv.slice(2) : ['11']
const failed = majors.filter((major) => {
  const prefix = resolve(`.tools/nest-${major}`)
  mkdirSync(prefix, { recursive: true })
  const packages = ['common', 'core', 'platform-express', 'platform-fastify'].map((name) => `@nestjs/${name}@${major}`)
  const quiet = ['--no-save', '--no-audit', '--no-fund', '--loglevel=error']
  execFileSync('npm', ['install', '--prefix', prefix, ...quiet, ...packages, 'reflect-metadata', 'rxjs@7'], {
    stdio: 'inherit',
  })
  const files = ['docs/snippets/frameworks/nest.pg.test.ts', 'packages/idempotency/test/nest.pg.test.ts']
  const env = { ...process.env, MALOTE_TEST_NEST: `${prefix}/node_modules/` }
  const args = ['run', '--project', 'integration', ...files]
  return spawnSync('vitest', args, { stdio: 'inherit', env, shell: process.platform === 'win32' }).status !== 0
})
if (failed.length > 0) console.error(`failed with Nest ${failed.join(', ')}`)
process.exitCode = failed.length > 0 ? 1 : 0
