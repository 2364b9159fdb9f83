import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { logEvents } from '../src/index.ts'
import { eventually } from '../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from './relay-bench.ts'

type Line = Readonly<Record<string, unknown>>

const program = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'malote-relay-'))
const taken = join(folder, 'taken.txt')
const broker = `import { appendFileSync, existsSync } from 'node:fs'
export default (environment) => ({
  graceMs: 2_000,
  relay: { outageBackoff: () => 50 },
  publisher: {
    name: 'file',
    publish: async (batch) => {
      if (existsSync(environment.TAKEN + '.down')) throw new Error('the file is away')
      appendFileSync(environment.TAKEN, batch.map(({ id }) => id + '\\n').join(''))
      return batch.map(({ id }) => ({ id, status: 'accepted' }))
    },
    close: async () => appendFileSync(environment.TAKEN, 'closed\\n'),
  },
})`
let bench: RelayBench
const children: ChildProcess[] = []

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
  writeFileSync(join(folder, 'malote.config.mjs'), broker)
})
afterEach(async () => {
  for (const child of children.splice(0))
    if (child.exitCode === null && child.kill('SIGKILL')) await once(child, 'exit')
  rmSync(`${taken}.down`, { force: true })
  await bench.reset()
})
afterAll(async () => {
  await bench.database.drop()
  rmSync(folder, { recursive: true })
})

function start(
  config: string,
  ...more: readonly string[]
): { readonly child: ChildProcess; readonly lines: Line[]; readonly errors: string[] } {
  const child = spawn(
    process.execPath,
    ['--conditions=@malote/source', program, 'relay', '--config', join(folder, config), '--port', '0', ...more],
    { env: { ...process.env, DATABASE_URL: bench.urlAs.relay, NODE_OPTIONS: '', TAKEN: taken } },
  )
  children.push(child)
  const [lines, errors]: [Line[], string[]] = [[], []]
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line) as Line))
  createInterface({ input: child.stderr }).on('line', (line) => errors.push(line))
  return { child, lines, errors }
}

describe('malote relay', () => {
  it('publishes, tells its health and its numbers, and stops with grace', async () => {
    const { child, lines } = start('malote.config.mjs')
    const port = await eventually(async () => {
      const port = lines.find((line) => line['port'] !== undefined)?.['port']
      expect(port).toBeTypeOf('number')
      return String(port)
    })
    const get = async (path: string): Promise<{ status: number; text: string }> => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`)
      return { status: response.status, text: await response.text() }
    }
    expect(await get('/healthz')).toMatchObject({ status: 200 })
    await eventually(async () => expect(await get('/readyz')).toMatchObject({ status: 200 }))
    const [id] = await bench.add(aMessage({ payload: { iban: 'SECRET' } }))
    await eventually(async () => expect(existsSync(taken) && readFileSync(taken, 'utf8')).toContain(id))
    await eventually(async () =>
      expect((await get('/metrics')).text).toContain('malote_topic_published_total{topic="orders"} 1\n'),
    )

    writeFileSync(`${taken}.down`, '')
    await bench.add(aMessage())
    await eventually(async () => expect((await get('/metrics')).text).toContain('malote_outbox_open_breakers 1\n'))
    expect(await get('/readyz')).toMatchObject({ status: 200 }) // The broker's outage is no reason to restart relays.
    rmSync(`${taken}.down`)
    await eventually(async () => expect((await get('/metrics')).text).toContain('malote_outbox_open_breakers 0\n'))
    expect(await get('/')).toMatchObject({ status: 404 })
    child.kill('SIGTERM')
    await once(child, 'exit')

    expect(child.exitCode).toBe(0)
    expect(readFileSync(taken, 'utf8').trimEnd().split('\n')).toHaveLength(3)
    expect(readFileSync(taken, 'utf8')).toMatch(/closed\n$/)
    expect(await bench.count('relays')).toBe(0)
    const outage = lines.find(({ event }) => event === 'outage.started')
    expect(outage).toMatchObject({ level: 'error', err: { message: expect.stringContaining('the file is away') } })
    expect(lines.map(({ event }) => event)).toEqual(expect.arrayContaining(['relay.started', 'relay.stopped']))
    expect(JSON.stringify(lines)).not.toContain('SECRET')
  })

  it('refuses a config at once, with 2', async () => {
    const { child, errors } = start('nowhere.mjs')
    await once(child, 'close')

    expect(child.exitCode).toBe(2)
    expect(errors.join('\n')).toContain('there is no such file')
  })

  it('ends when its address cannot be had, though its publisher has connections', async () => {
    const open = `const connection = setInterval(() => {}, 1_000)
      export default { publisher: { name: 'open', publish: async () => [], close: async () => clearInterval(connection) } }`
    writeFileSync(join(folder, 'open.mjs'), open)
    const { child, errors } = start('open.mjs', '--host', '192.0.2.1') // Set aside for documents: no machine has it.
    await once(child, 'close')

    expect(child.exitCode).toBe(1)
    expect(errors.join('\n')).toContain('192.0.2.1')
  })
})

it('logEvents writes to pino, with the error as pino prints it', () => {
  const written: Line[] = []
  const log = logEvents(pino({ level: 'debug' }, { write: (line) => written.push(JSON.parse(line) as Line) }))

  log({ type: 'outage.started', error: new Error('away'), retryInMs: 20 })
  log({ type: 'batch.published', messages: 3, failed: 0, ms: 1 })

  expect(written).toMatchObject([
    { level: 50, event: 'outage.started', retryInMs: 20, err: { message: 'away' } },
    { level: 20, event: 'batch.published', messages: 3 },
  ])
})
