import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { eventually } from '@malote/outbox-core/testing'
import { type Case, effectsOf, headOf, isReplay, open, send, stillServes } from './steps.ts'

const megabyte = 1_048_576

/** Clients that stop, stall and go away. */
export const connectionCases: readonly Case[] = [
  ...['in the head', 'after the head', 'in the body'].map((where): Case => ({
    name: `a client that goes away ${where} has no effect and harms nobody`,
    run: async (harness) => {
      const head = headOf(harness, { key: randomUUID() }, 'content-length: 400000')
      const sent = {
        'in the head': head.slice(0, 60),
        'after the head': head,
        'in the body': head + '"'.repeat(300_000),
      }
      const effects = await effectsOf(harness, async () => {
        for (let client = 0; client < 5; client++) {
          const connection = await open(harness)
          await connection.write(sent[where as keyof typeof sent])
          await connection.cut()
        }
      })

      assert.equal(effects, 0)
      await stillServes(harness)
    },
  })),
  ...['application/octet-stream', 'multipart/form-data; boundary=b', 'application/x-unknown', 'text/plain'].map(
    (contentType): Case => ({
      name: `an upload of ${contentType} that is cut off harms nobody`,
      run: async (harness) => {
        for (const size of [20, 300_000]) {
          const connection = await open(harness)
          await connection.write(headOf(harness, { key: randomUUID(), contentType }, 'content-length: 600000'))
          await connection.write(
            `--b\r\ncontent-disposition: form-data; name="f"; filename="f"\r\n\r\n${'x'.repeat(size)}`,
          )
          await connection.cut()
        }

        await stillServes(harness)
      },
    }),
  ),
  {
    name: 'a body beyond every limit is refused, also when its client goes away meanwhile',
    run: async (harness) => {
      const effects = await effectsOf(harness, async () => {
        const patient = await open(harness)
        await patient.write(headOf(harness, { key: randomUUID() }, 'transfer-encoding: chunked'))
        const piece = `10000\r\n${'"'.repeat(65_536)}\r\n`
        const answered = patient.arrived('HTTP/1.1 ').catch(() => {})
        const seen = { answer: false }
        void answered.then(() => (seen.answer = true))
        // A server that has answered need not read on, nor close.
        for (let sent = 0; sent < 3 * megabyte && !seen.answer && !patient.socket.destroyed; sent += 65_536)
          await Promise.race([answered, patient.write(piece)])
        // Some read on to the end of the body before they answer.
        if (!seen.answer) await Promise.race([answered, patient.write('0\r\n\r\n')])
        await answered
        await patient.cut()
        const answer = await patient.answer
        assert.ok(
          answer === undefined || answer.status === 413 || answer.status === 400,
          `it got ${String(answer?.status)}`,
        )

        const rude = await open(harness)
        await rude.write(headOf(harness, { key: randomUUID() }, `content-length: ${String(100 * megabyte)}`))
        await rude.write('"'.repeat(100_000))
        await rude.cut()
      })

      assert.equal(effects, 0)
      await stillServes(harness)
    },
  },
  {
    name: 'a client that goes away after its request finds the answer when it comes again, and there is one effect',
    run: async (harness) => {
      const key = randomUUID()
      const body = '{"amount":7}'
      const effects = await effectsOf(harness, async () => {
        const connection = await open(harness)
        await connection.write(headOf(harness, { key }, `content-length: ${String(body.length)}`) + body)
        await connection.cut()
        await eventually(async () => assert.equal((await send(harness, { key }, body))?.status, 201))
      })

      assert.equal(effects, 1)
    },
  },
  {
    name: 'a client that closes its half of the connection has one effect at the most, and its retry is answered',
    run: async (harness) => {
      const [key, body] = [randomUUID(), '{"amount":3}']
      const effects = await effectsOf(harness, async () => {
        const connection = await open(harness)
        connection.socket.end(headOf(harness, { key }, `content-length: ${String(body.length)}`) + body)
        await connection.answer
        await eventually(async () => assert.equal((await send(harness, { key }, body))?.status, 201))
      })

      assert.equal(effects, 1)
    },
  },
  {
    name: 'a client that waits for 100 Continue gets it, and then its answer',
    run: async (harness) => {
      const [key, body] = [randomUUID(), '{"amount":4}']
      for (const replayed of [false, true]) {
        const connection = await open(harness)
        const headers = { expect: '100-continue' }
        await connection.write(headOf(harness, { key, headers }, `content-length: ${String(body.length)}`))
        await connection.arrived('100 Continue')
        await connection.write(body)

        const answer = await connection.answer
        assert.deepEqual([answer?.status, isReplay(answer)], [201, replayed])
      }
    },
  },
  {
    name: 'requests in a pipeline with one key are one request',
    run: async (harness) => {
      const [key, body] = [randomUUID(), '{"amount":5}']
      const last = headOf(harness, { key }, `content-length: ${String(body.length)}`) + body
      const first = last.replace('connection: close', 'connection: keep-alive')

      const effects = await effectsOf(harness, async () => {
        const connection = await open(harness)
        await connection.write(first + first + last)
        const status = (await connection.answer)?.status
        assert.ok(status === 201 || status === 409, `the last one got ${String(status)}`)
      })

      assert.equal(effects, 1)
    },
  },
]
