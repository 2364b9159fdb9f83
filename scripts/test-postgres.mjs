// `npm run test:postgres [-- 14 16]`: the tests of everything that speaks SQL, once on each older major version of PostgreSQL.
import { spawnSync } from 'node:child_process'

const majors = process.argv.length > 2 ? process.argv.slice(2) : ['14', '15', '16', '17']
const failed = majors.filter((major) => {
  console.log(`\nPostgreSQL ${major}`)
  const args = ['run', '--project', 'integration', 'packages/outbox-core', 'packages/idempotency', 'examples']
  const env = { ...process.env, MALOTE_TEST_POSTGRES_MAJOR: major }
  return spawnSync('vitest', args, { stdio: 'inherit', env, shell: process.platform === 'win32' }).status !== 0
})
if (failed.length > 0) console.error(`failed on PostgreSQL ${failed.join(', ')}`)
process.exitCode = failed.length > 0 ? 1 : 0
