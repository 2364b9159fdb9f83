// `npm run test:roles [-- paths]`: the tests of everything that speaks SQL, with the code under test as a role that has only the documented grants.
import { spawnSync } from 'node:child_process'

const paths = process.argv.length > 2 ? process.argv.slice(2) : ['packages/outbox-core', 'packages/idempotency']
const args = ['run', '--project', 'integration', ...paths]
const env = { ...process.env, MALOTE_TEST_ROLES: '1' }
const shell = process.platform === 'win32'
process.exitCode = spawnSync('vitest', args, { stdio: 'inherit', env, shell }).status ?? 1
