import { describe, expect, it } from 'vitest'
import { batchResults, createMessagePublisher, predecessorFailed } from '../src/adapter/index.ts'
import { PublishOutageError, type PublishFailure } from '../src/index.ts'
import { anOutboxMessage } from '../src/testing/index.ts'

const never = new AbortController().signal
const refused: PublishFailure = { kind: 'retryable', code: 'REFUSED', message: 'no' }
const keyed = (...keys: (string | null)[]) => keys.map((orderingKey) => anOutboxMessage({ orderingKey }))

describe('the results of a batch', () => {
  it('a failure counts against what is behind it in its stream, told in whatever order, and against nothing before it', () => {
    const [first, second, third, other] = keyed('k', 'k', 'k', 'other')
    const results = batchResults([first!, second!, third!, other!])

    results.fail(second!, refused)

    expect(results.accept(first!)).toBe(true)
    expect(results.accept(third!)).toBe(false)
    expect(results.accept(other!)).toBe(true)
    expect(results.results().map((result) => (result.status === 'accepted' ? 'ok' : result.failure.code))).toEqual([
      'ok',
      'REFUSED',
      predecessorFailed.code,
      'ok',
    ])
  })

  it('what nobody told of was aborted', () => {
    expect(batchResults(keyed(null)).results()[0]).toMatchObject({ status: 'failed', failure: { code: 'ABORTED' } })
  })
})

describe('a publisher made of one send', () => {
  function setup(send: (body: string) => Promise<PublishFailure | null>, concurrency = 4) {
    const sent: string[] = []
    const publisher = createMessagePublisher({
      name: 'test',
      concurrency,
      send: ({ body }) => {
        sent.push(String(body))
        return send(String(body))
      },
    })
    return { sent, publisher }
  }
  const numbered = (keys: readonly (string | null)[]) =>
    keys.map((orderingKey, index) => anOutboxMessage({ orderingKey, body: String(index) }))

  it('sends a stream one after the other and others beside it, and nothing behind a failure', async () => {
    const running = new Set<string>()
    const keys = ['a', 'a', 'b', 'a', null]
    let beside = 0
    const { sent, publisher } = setup(async (body) => {
      const key = keys[Number(body)] ?? body
      expect(running.has(key)).toBe(false)
      running.add(key)
      beside = Math.max(beside, running.size)
      await new Promise((resolve) => setImmediate(resolve))
      running.delete(key)
      return body === '1' ? refused : null
    })

    const results = await publisher.publish(numbered(keys), never)

    expect(results.map(({ status }) => status)).toEqual(['accepted', 'failed', 'accepted', 'failed', 'accepted'])
    expect(sent).not.toContain('3')
    expect(beside).toBeGreaterThan(1)
  })

  it('an outage at the first message rejects; after one was accepted the rest pays nothing', async () => {
    const away = setup(() => Promise.reject(new Error('ECONNREFUSED')))
    await expect(away.publisher.publish(numbered([null, null]), never)).rejects.toBeInstanceOf(PublishOutageError)

    const lost = setup((body) => (body === '0' ? Promise.resolve(null) : Promise.reject(new Error('reset'))), 1)
    const results = await lost.publisher.publish(numbered([null, null, null]), never)

    expect(results.map((result) => (result.status === 'accepted' ? 'ok' : result.failure.code))).toEqual([
      'ok',
      'CONNECTION_LOST',
      'CONNECTION_LOST',
    ])
    expect(lost.sent).toEqual(['0', '1'])
  })

  it('an abort settles it although a send ignores its signal, and close waits for nothing that was given up', async () => {
    const { publisher } = setup((body) => (body === '0' ? Promise.resolve(null) : new Promise(() => {})))
    const abort = new AbortController()

    const publishing = publisher.publish(numbered([null, null]), abort.signal)
    setTimeout(() => abort.abort(), 10)
    const results = await publishing
    await publisher.close()

    expect(results.map((result) => (result.status === 'accepted' ? 'ok' : result.failure.code))).toEqual([
      'ok',
      'ABORTED',
    ])
    await expect(publisher.publish([], never)).rejects.toMatchObject({ code: 'PUBLISHER_CLOSED' })
  })

  it('a send that ignores its signal keeps no place: what comes next in its stream goes, in order', async () => {
    const { sent, publisher } = setup((body) => (body === 'hangs' ? new Promise(() => {}) : Promise.resolve(null)), 1)
    const abort = new AbortController()

    const aborted = publisher.publish([anOutboxMessage({ orderingKey: 'k', body: 'hangs' })], abort.signal)
    abort.abort()
    expect(await aborted).toMatchObject([{ status: 'failed', failure: { code: 'ABORTED' } }])
    const results = await publisher.publish(numbered(['k', 'k', null]), never)

    expect(results.map(({ status }) => status)).toEqual(['accepted', 'accepted', 'accepted'])
    expect(sent).toEqual(['hangs', '0', '1', '2'])
  })
})
