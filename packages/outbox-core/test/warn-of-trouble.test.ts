import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { resolveConsumerOptions } from '../src/adapter/index.ts'
import { warnOfTrouble } from '../src/warn-of-trouble.ts'

const warnings: string[] = []
beforeEach(() => {
  warnings.length = 0
  vi.spyOn(process, 'emitWarning').mockImplementation((warning) => void warnings.push(String(warning)))
})
afterEach(() => vi.restoreAllMocks())

const refused = new AggregateError([
  new Error('connect ECONNREFUSED ::1:5672'),
  new Error('connect ECONNREFUSED 127.0.0.1:5672'),
])

describe('a relay or a consumer without onEvent', () => {
  it('says on stderr that its broker refuses, with the words of every address', () => {
    const { report } = resolveConsumerOptions({ handler: () => Promise.resolve() })

    report({ type: 'consumer.disconnected', error: refused, retryInMs: 200 })

    expect(warnings).toEqual([
      expect.stringContaining('connect ECONNREFUSED ::1:5672; connect ECONNREFUSED 127.0.0.1:5672'),
    ])
  })

  it('says it once until it is over, and again when it comes back', () => {
    const warn = warnOfTrouble()

    for (let failure = 1; failure <= 100; failure++) warn({ type: 'outage.started', error: refused, retryInMs: 200 })
    warn({ type: 'outage.started', destination: 'orders', error: refused, retryInMs: 200 })
    warn({ type: 'outage.ended', ms: 12_000 })
    warn({ type: 'outage.started', error: refused, retryInMs: 200 })

    expect(warnings).toHaveLength(3)
  })

  it('names a destination as the publisher does, in no further quotation marks', () => {
    const destination = 'exchange "shop" with routing key "orders"'

    warnOfTrouble()({ type: 'outage.started', destination, error: refused, retryInMs: 200 })

    expect(warnings).toEqual([expect.stringContaining(`the destination ${destination} takes no messages`)])
  })

  it('is silent while all is well', () => {
    const warn = warnOfTrouble()

    warn({ type: 'relay.started', relayId: 'r' })
    warn({ type: 'batch.published', messages: 1, failed: 0, ms: 1 })
    warn({ type: 'message.handled', id: 'm', messageType: 't', attempt: 1, ms: 1 })

    expect(warnings).toEqual([])
  })

  it('leaves stderr alone when onEvent is given', () => {
    const events: unknown[] = []
    const { report } = resolveConsumerOptions({
      handler: () => Promise.resolve(),
      onEvent: (event) => events.push(event),
    })

    report({ type: 'consumer.disconnected', error: refused, retryInMs: 200 })

    expect([events.length, warnings.length]).toEqual([1, 0])
  })
})
