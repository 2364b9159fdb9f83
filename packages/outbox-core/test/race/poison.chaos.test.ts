import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { scaled } from '@malote/testing/slowness'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { eventually } from '../../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from '../relay-bench.ts'

type Death = 'exit' | 'memory'

let bench: RelayBench
let isOver = false
let sent: string[] = []
const children = new Set<ChildProcess>()

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(async () => {
  isOver = true
  await Promise.all([...children].map(end))
  await bench.reset()
})
afterAll(() => bench.database.drop())

async function end(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

/** Keeps a relay process running: whenever it dies, another is started. */
function supervise(poisonedBy: Death): void {
  const script = fileURLToPath(new URL('relay-process.ts', import.meta.url))
  // A process that runs out of memory stands still until it is dead. Its lease must not run out before, however slow the machine is.
  const leaseMs = scaled(10_000)
  const options = { url: bench.urlAs.relay, leaseMs, presence: true, maxAttempts: 3, poisonedBy }
  const child = spawn(
    process.execPath,
    ['--conditions=@malote/source', '--max-old-space-size=64', script, JSON.stringify(options)],
    { stdio: ['ignore', 'pipe', 'ignore'] }, // An engine out of memory prints a long report.
  )
  children.add(child)
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { messages = [] } = JSON.parse(line) as { messages?: { id: string }[] }
    sent.push(...messages.map(({ id }) => id))
  })
  child.on('exit', () => {
    children.delete(child)
    if (!isOver) supervise(poisonedBy)
  })
}

interface DeadLetter {
  readonly id: string
  readonly reason: string
  readonly attempts: number
  /** How many messages were in flight at each death. */
  readonly among: readonly number[]
}

async function deadLetters(): Promise<readonly DeadLetter[]> {
  const { rows } = await bench.pool.query(
    `select id, reason, attempts, array(select (failure -> 'among')::integer from jsonb_array_elements(failures) as failure) as among
     from malote.dead_letters`,
  )
  return rows as DeadLetter[]
}

describe('a message that kills the process which publishes it', () => {
  it.each<Death>(['exit', 'memory'])(
    'becomes a dead letter after maxAttempts, alone, and its neighbours are delivered (%s)',
    async (death) => {
      ;[isOver, sent] = [false, []]
      const before = await bench.add(...Array.from({ length: 20 }, (_, n) => neighbour(n)))
      const [poison] = await bench.add(aMessage({ orderingKey: 'k0', payload: 'poison' }))
      const behind = await bench.add(...Array.from({ length: 100 }, (_, n) => neighbour(n)))
      const neighbours = [...before, ...behind]

      supervise(death)
      supervise(death)

      await eventually(async () => expect(await deadLetters()).toHaveLength(1), { patienceMs: 30_000 })
      const [dead] = await deadLetters()
      expect(dead).toMatchObject({ id: poison, reason: 'POISON', attempts: 3 })
      expect(dead?.among.slice(-3)).toEqual([1, 1, 1])
      expect(dead?.among.slice(0, -3).every((maxTogether) => maxTogether > 1)).toBe(true)
      await bench.pool.query('delete from malote.held_keys')
      await eventually(async () => expect(await bench.count('messages')).toBe(0), { patienceMs: 10_000 })
      // The database may answer before the last lines have come through the pipes.
      await eventually(() => expect(neighbours.filter((id) => !sent.includes(id))).toEqual([]))
      expect(sent).not.toContain(poison)
    },
  )
})

/** Of the poison's key, of another key, or without one. */
const neighbour = (n: number): ReturnType<typeof aMessage> =>
  aMessage({ ...(n % 3 === 2 ? {} : { orderingKey: `k${String(n % 3)}` }), payload: { n } })
