// `npm run judges`: Schemathesis reads the brokerage's OpenAPI description and sends it what nobody here thought of.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { createPool } from '../../examples/brokerage/src/database/database.ts'
import { createDemoApi } from '../../examples/brokerage/test/demo-api.ts'
import { startPostgres } from '../services/postgres.ts'
import { endJudge, folderOf, python, type PythonPackage, whatIsMissing } from './python-tools.ts'

const schemathesis: PythonPackage = { module: 'schemathesis', from: { pip: 'schemathesis==4.32.5' } }
/** Another one each time says more; a failure prints it. */
const seed = process.env['MALOTE_JUDGE_SEED'] ?? String(Math.floor(Math.random() * 1_000_000))
/** What never ends, and what only whoever runs the roles can do: nobody does here. */
const leftOut = '(stream|/api/(status|faults|kill))$'
/**
 * An order that is described well may still be refused: too little money (402), an asset or an amount that is not traded (422). A body that
 * is too long for its field may be too long altogether (413). Fastify says 404 for a method that a path has not, not 405.
 */
const settings = `[checks]
positive_data_acceptance.expected-statuses = ["2xx", "3xx", 401, 402, 403, 404, 409, 422, 429]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 409, 413, 415, 422, 429]
unsupported_method.enabled = false
`

const absence = whatIsMissing(schemathesis)
if (absence === null) endJudge([(await judge()) ? 'ok' : 'wrong'])
else {
  console.error(`NOT RUN Schemathesis: ${absence}`)
  endJudge(['not-run'])
}

async function judge(): Promise<boolean> {
  const postgres = await startPostgres({ durable: false })
  const pool = createPool(postgres.url)
  const { api } = await createDemoApi(pool)
  await api.listen({ host: '127.0.0.1', port: 0 })
  const { port } = api.server.address() as AddressInfo
  try {
    return await isSatisfied(`http://127.0.0.1:${String(port)}/openapi.json`)
  } finally {
    await api.close()
    await pool.end()
    await postgres.stop()
  }
}

/** A customer and an administrator may do different things. */
async function isSatisfied(url: string): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'malote-judges-'))
  writeFileSync(join(folder, 'schemathesis.toml'), settings)
  let isFine = true
  for (const token of ['fake-token', 'fake-admin-token']) {
    const what = ['--header', `Authorization: Bearer ${token}`, '--exclude-path-regex', leftOut]
    const how = ['--seed', seed, '--phases', 'examples,coverage,fuzzing', '--max-examples', '50', '--no-color']
    const judge = spawn(python, ['-m', 'schemathesis.cli', 'run', url, ...what, ...how], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, PYTHONPATH: folderOf(schemathesis) ?? '' },
    })
    const told = text(judge.stdout)
    const [code] = (await once(judge, 'exit')) as [number | null]
    const words = await told
    const [, cases = 'no'] = /(\d+) generated/.exec(words) ?? []
    console.log(`${code === 0 ? 'ok    ' : 'WRONG '} Schemathesis with ${token}, seed ${seed}: ${cases} cases`)
    if (code !== 0) console.log(words)
    isFine &&= code === 0
  }
  rmSync(folder, { recursive: true, force: true })
  return isFine
}
