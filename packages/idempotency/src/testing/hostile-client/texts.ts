import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { type Answer, assertQuick, type Case, effectsOf, isReplay, send, stillServes, timeOf } from './steps.ts'

/** JSON made to be slow to read, of about 100 kB. */
const corpus: Readonly<Record<string, string>> = {
  'a number with a run of zeros': `{"amount":1${'0'.repeat(100_000)}1}`,
  'a fraction with a run of zeros': `{"amount":0.${'0'.repeat(100_000)}1}`,
  'a number of nines': `{"amount":${'9'.repeat(100_000)}}`,
  'spaces before a mistake': `{"amount":1${' '.repeat(100_000)}x`,
  'a string of backslashes': `{"note":"${'\\'.repeat(100_001)}`,
  'many levels': '['.repeat(100_000),
  'many names': `{${Array.from({ length: 8_000 }, (_, at) => `"n${String(at)}":1`).join(',')}}`,
  'one long value under many levels': `${'[1,'.repeat(190)}"${'a'.repeat(100_000)}"${']'.repeat(190)}`,
}

/** Texts and headers that are built to hurt. */
export const textCases: readonly Case[] = [
  ...Object.entries(corpus).map(([what, body]): Case => ({
    name: `${what} blocks nobody`,
    run: async (harness) => {
      let answer: Answer | undefined
      const tookMs = await timeOf(async () => (answer = await send(harness, { key: randomUUID() }, body)))

      assert.ok(answer !== undefined && answer.status < 500, `it got ${String(answer?.status)}`)
      await assertQuick(tookMs, 2_000, 20, () =>
        send(harness, { key: randomUUID() }, `{"note":"${'n'.repeat(body.length)}"}`),
      )
    },
  })),
  {
    name: 'the key is one whatever the casing of its header, its quotes and the spaces around',
    run: async (harness) => {
      const [key, body] = [randomUUID(), '{"amount":6}']
      const lines = [`IDEMPOTENCY-KEY: ${key}`, `Idempotency-Key: "${key}"`, `idempotency-key: \t ${key}  `]
      const effects = await effectsOf(harness, async () => {
        for (const line of lines) assert.equal((await send(harness, { headers: [line] }, body))?.status, 201)
      })

      assert.equal(effects, 1)
    },
  },
  ...[
    ['a key that is sent twice', (key: string) => [`idempotency-key: ${key}`, `Idempotency-Key: ${key}`]],
    ['two keys in two casings', (key: string) => [`idempotency-key: ${key}`, `IDEMPOTENCY-KEY: ${randomUUID()}`]],
    ['a list of keys', (key: string) => [`idempotency-key: ${key}, ${key}`]],
    ['a key of 10,000 spaces', (key: string) => [`idempotency-key: ${key}${' '.repeat(10_000)}${key}`]],
    ['a key of bytes that are no ASCII', (key: string) => [`idempotency-key: ${key}\u00e9`]],
    ['no key', () => []],
  ].map(([what, lines]): Case => ({
    name: `${String(what)} is refused with 400`,
    run: async (harness) => {
      const headers = (lines as (key: string) => string[])(randomUUID())
      const effects = await effectsOf(harness, async () => {
        assert.equal((await send(harness, { headers }, '{"amount":6}'))?.status, 400)
      })

      assert.equal(effects, 0)
    },
  })),
  {
    name: 'two requests that a parser of numbers reads alike are two',
    run: async (harness) => {
      const key = randomUUID()
      await send(harness, { key }, '{"amount":9007199254740992}')
      const other = await send(harness, { key }, '{"amount":9007199254740993}')

      assert.ok(other !== undefined && other.status >= 400 && !isReplay(other))
      await stillServes(harness)
    },
  },
]
