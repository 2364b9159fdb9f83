import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import {
  type Answer,
  assertQuick,
  type Case,
  effectsOf,
  headOf,
  type HostileClientHarness,
  isReplay,
  open,
  type RequestParts,
  send,
  stillServes,
  timeOf,
} from './steps.ts'

/** Whatever a framework does with a media type, it must do it with the whole body. */
const mediaTypes = [
  'application/json',
  'text/plain',
  'application/octet-stream',
  'application/x-stream',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=b',
]

/** The head and the first half now, the second half once the server has had time to act on the first. */
async function sendInHalves(
  harness: HostileClientHarness,
  parts: RequestParts,
  body: string,
): Promise<Answer | undefined> {
  const connection = await open(harness)
  const half = body.length >> 1
  await connection.write(headOf(harness, parts, `content-length: ${String(body.length)}`) + body.slice(0, half))
  // Another request, answered in full, in between: by then the first half has been seen.
  await send(harness, { key: randomUUID() }, 'no json')
  await connection.write(body.slice(half))
  return connection.answer
}

const noteOf = (length: number): string => `{"note":"${'n'.repeat(length)}"}`

async function sendByteByByte(harness: HostileClientHarness, key: string, body: string): Promise<Answer | undefined> {
  const connection = await open(harness)
  await connection.write(headOf(harness, { key }, 'transfer-encoding: chunked'))
  for (let at = 0; at < body.length; at += 500)
    await connection.write(Array.from(body.slice(at, at + 500), (byte) => `1\r\n${byte}\r\n`).join(''))
  await connection.write('0\r\n\r\n')
  return connection.answer
}

const payment = (contentType: string, whom: string): string => {
  const text = `{"pay":"${'0'.repeat(2_000)}","to":"${whom}"}`
  if (contentType.startsWith('multipart/'))
    return `--b\r\ncontent-disposition: form-data; name="pay"\r\n\r\n${text}\r\n--b--\r\n`
  return contentType.includes('urlencoded') ? `pay=${'0'.repeat(2_000)}&to=${whom}` : text
}

/** Bodies that arrive in pieces, in other codings, or not as what they claim to be. */
export const bodyCases: readonly Case[] = [
  ...mediaTypes.map((contentType): Case => ({
    name: `two bodies of ${contentType} that begin alike and arrive in halves are two requests`,
    run: async (harness) => {
      const key = randomUUID()
      const before = await harness.effects()
      const bob = await sendInHalves(harness, { key, contentType }, payment(contentType, 'bob--'))
      const mallory = await sendInHalves(harness, { key, contentType }, payment(contentType, 'eve--'.slice(0, 5)))

      assert.ok(!isReplay(mallory), 'the second one got the answer of the first')
      assert.ok(mallory === undefined || mallory.status >= 400, `the second one got ${String(mallory?.status)}`)
      if (bob?.status === 201) {
        const retry = await send(harness, { key, contentType }, payment(contentType, 'bob--'))
        assert.deepEqual([retry?.status, isReplay(retry)], [201, true])
      }
      assert.equal((await harness.effects()) - before, bob?.status === 201 ? 1 : 0)
    },
  })),
  {
    name: 'chunks of one byte cost what one chunk costs, in proportion',
    run: async (harness) => {
      const [key, body] = [randomUUID(), noteOf(40_000)]
      let answer: Answer | undefined
      const tookMs = await timeOf(async () => (answer = await sendByteByByte(harness, key, body)))
      const retry = await send(harness, { key }, body)

      assert.deepEqual([answer?.status, retry?.status, isReplay(retry)], [201, 201, true])
      // Quadratic work takes sixteen times as long for four times as much.
      await assertQuick(tookMs, 4_000, 8, () => sendByteByByte(harness, randomUUID(), noteOf(10_000)))
    },
  },
  {
    name: 'a body that is compressed is the same request as one that is not, or is refused',
    run: async (harness) => {
      const [key, body] = [randomUUID(), JSON.stringify({ note: 'n'.repeat(5_000) })]
      const headers = { 'content-encoding': 'gzip' }
      const first = await send(harness, { key, headers }, gzipSync(body, { level: 1 }))
      const again = await send(harness, { key, headers }, gzipSync(body, { level: 9 }))
      const other = await send(harness, { key, headers }, gzipSync(body.replace('nn', 'no')))

      assert.equal(isReplay(other), false)
      assert.ok(first !== undefined && again !== undefined && other !== undefined && other.status >= 400)
      if (first.status === 201) assert.deepEqual([again.status, isReplay(again)], [201, true])
    },
  },
  {
    name: 'a few bytes that inflate without end are refused',
    run: async (harness) => {
      const bomb = gzipSync(Buffer.alloc(50_000_000, ' '))
      const effects = await effectsOf(harness, async () => {
        const answer = await send(harness, { key: randomUUID(), headers: { 'content-encoding': 'gzip' } }, bomb)
        assert.ok(
          answer !== undefined && answer.status >= 400 && answer.status < 500,
          `it got ${String(answer?.status)}`,
        )
      })

      assert.equal(effects, 0)
      await stillServes(harness)
    },
  },
]
