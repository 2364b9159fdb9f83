import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createProgram, type Run } from '../src/cli/program.ts'
import { eventually } from '../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench, type StartedRelay } from './relay-bench.ts'

/** One line of the page: what is typed, and what the page says is seen. */
interface Step {
  readonly command: string
  readonly exitCode: number
  readonly seen: RegExp
}

interface Runbook {
  readonly title: string
  /** Between two blocks the reader mends something outside. */
  readonly blocks: readonly (readonly Step[])[]
}

/** A condition, made for real, and how the world is mended. */
interface Condition {
  begin(): Promise<unknown> | void
  mend?(): void
  /** Payloads that must have reached the broker at the end, in order. */
  readonly published: readonly number[]
}

let bench: RelayBench
let started: StartedRelay
let letter = ''

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterAll(() => bench.database.drop())

const add = (...amounts: readonly number[]) =>
  bench.add(...amounts.map((amount) => aMessage({ orderingKey: 'account-17', payload: { amount } })))
const holdsBack = (): Promise<void> => eventually(async () => expect(await bench.count('held_keys')).toBe(1))

async function refuseTheFirst(): Promise<void> {
  let first: string | undefined
  started.broker.failWith(({ id }) =>
    id === (first ??= id) ? { kind: 'permanent', code: 'REFUSED', message: 'account 17 is closed' } : null,
  )
  await add(1, 2)
  started.relay.start()
  await holdsBack()
}

const conditions: Readonly<Record<string, Condition>> = {
  'No relay runs': { begin: () => add(1, 2), mend: () => started.relay.start(), published: [1, 2] },
  'The broker is away': {
    begin: () => {
      started.broker.goDown()
      started.relay.start()
      return add(1, 2)
    },
    mend: () => started.broker.goUp(),
    published: [1, 2],
  },
  'A destination takes nothing': {
    begin: () => {
      const missing = {
        kind: 'unavailable',
        destination: 'queue orders',
        code: 'NO_QUEUE',
        message: 'missing',
      } as const
      started.broker.failWith(() => missing)
      started.relay.start()
      return add(1, 2)
    },
    mend: () => started.broker.failWith(() => null),
    published: [1, 2],
  },
  'A message died, and its key stands still': {
    begin: refuseTheFirst,
    mend: () => started.broker.failWith(() => null),
    published: [1, 2],
  },
  'A key must go on without its dead letter': { begin: refuseTheFirst, published: [2] },
  'What goes to one place must stop': {
    begin: () => started.relay.start(),
    published: [3],
  },
  'The tables are missing': { begin: () => {}, published: [] },
}

/** Types the command. A topic that is paused must have something that waits. */
async function type(command: string): Promise<{ exitCode: number; text: string }> {
  const lines: string[] = []
  let exitCode = 0
  const run: Run = async (verb, flags, words) => {
    const client = await bench.pool.connect()
    const schema = flags.schema === undefined ? {} : { schema: flags.schema }
    const output = {
      print: (_: unknown, text: readonly string[]) => void lines.push(...text),
      note: (text: readonly string[]) => void lines.push(...text),
      clear: () => {},
    }
    try {
      exitCode = await verb({ client, schema, flags: flags as never, words, output })
    } finally {
      client.release()
    }
  }
  const nothing = (): Promise<void> => Promise.reject(new Error('not on this page'))
  const words = [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
  await createProgram('0', run, nothing, nothing).parseAsync(words.slice(1), { from: 'user' })
  if (command.startsWith('malote topics pause')) await add(3)
  return { exitCode, text: lines.join('\n') }
}

const looks = /^malote (doctor|status|messages|dead-letters (list|show)|held-keys list|audit)/

async function take({ command, exitCode, seen }: Step): Promise<void> {
  const attempt = async (): Promise<void> => {
    const answer = await type(command.replace(/\bID\b/, letter))
    expect(`${command}\n${answer.text}`).toMatch(seen)
    expect({ command, exitCode: answer.exitCode }).toEqual({ command, exitCode })
    if (command.startsWith('malote dead-letters list')) letter = /^\d+/m.exec(answer.text)?.[0] ?? ''
  }
  // Whoever only looks may look again; a decision is typed once.
  await (looks.test(command) ? eventually(attempt) : attempt())
}

const runbooks = readRunbooks(readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8'))

function readRunbooks(page: string): readonly Runbook[] {
  const chapter = page.split('\n## ').find((text) => text.startsWith('From alarm to mend')) ?? ''
  return chapter
    .split('\n### ')
    .slice(1)
    .map((text) => ({
      title: text.slice(0, text.indexOf('\n')),
      blocks: [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = '']) =>
        block.trim().split('\n').map(readStep),
      ),
    }))
}

function readStep(line: string): Step {
  const [, command = '', note = ''] = /^(malote [^#]*?)\s+# (.+)$/.exec(line) ?? []
  const [, code, rest = ''] = /^exits with (\d)(?:: (.*))?$/.exec(note) ?? []
  const text = code === undefined ? note : rest
  const parts = text.split('…').map((part) => part.trim().replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  // Below the command itself, which may hold the same words.
  return { command, exitCode: Number(code ?? 0), seen: new RegExp(`\\n[\\s\\S]*${parts.join('[\\s\\S]*')}`) }
}

describe('docs/operations.md, from alarm to mend', () => {
  it('has a condition for each of its runbooks, and reads each of their lines', () => {
    expect(runbooks.map(({ title }) => title)).toEqual(Object.keys(conditions))
    for (const { command } of runbooks.flatMap(({ blocks }) => blocks.flat())) expect(command).toMatch(/^malote \w/)
  })

  it.each(runbooks.map((runbook) => [runbook.title, runbook] as const))('%s', async (title, { blocks }) => {
    const condition = conditions[title]
    if (condition === undefined) throw new Error(`nothing makes the condition "${title}"`)
    await bench.reset()
    await bench.pool.query('truncate malote.operator_actions, malote.paused_topics')
    started = bench.relay()
    await condition.begin()

    for (const [index, block] of blocks.entries()) {
      if (index > 0) condition.mend?.()
      for (const step of block) await take(step)
    }

    const published = started.broker.accepted.map(({ body }) => (JSON.parse(String(body)) as { amount: number }).amount)
    expect(published).toEqual(condition.published)
    expect([await bench.count('messages'), await bench.count('dead_letters')]).toEqual([0, 0])
  })
})
