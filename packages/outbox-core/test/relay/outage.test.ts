import { describe, expect, it } from 'vitest'
import type { DestinationFailure } from '../../src/publisher.ts'
import { Breakers } from '../../src/relay/breakers.ts'
import { Outage } from '../../src/relay/outage.ts'

describe('an outage', () => {
  it('pauses everything, then lets one probe go at a time, longer apart each time', () => {
    const outage = new Outage((failures) => failures * 100)
    outage.sent()
    expect(outage.rejected(0)).toBe(100)
    expect(outage.mayGo(99)).toBe(false)

    expect(outage.mayGo(100)).toBe(true)
    outage.sent()
    expect(outage.mayGo(100)).toBe(false)
    expect(outage.rejected(100)).toBeNull()

    expect(outage.mayGo(299)).toBe(false)
    expect(outage.mayGo(300)).toBe(true)
  })

  it('ends with the first answer', () => {
    const outage = new Outage(() => 100)
    outage.rejected(0)

    expect(outage.answered(150)).toBe(150)

    expect(outage.isOpen).toBe(false)
    expect(outage.mayGo(150)).toBe(true)
    expect(outage.answered(200)).toBeNull()
  })

  it('counts batches that were under way when it began as one failure', () => {
    const outage = new Outage((failures) => failures * 100)

    for (let batch = 0; batch < 3; batch++) outage.rejected(10)

    expect(outage.retryAtMs).toBe(110)
  })
})

describe('the breaker of a destination', () => {
  const failure: DestinationFailure = { kind: 'unavailable', destination: 'queue', code: 'AWAY', message: 'away' }

  it('opens once, gathers the topics that go there, and is tried after pauses that grow, one probe at a time', () => {
    const breakers = new Breakers((failures) => failures * 100)
    expect(breakers.fail(failure, 'a', 0)).toBe(100)
    expect(breakers.fail(failure, 'b', 10)).toBeNull()
    expect([...breakers.topicsOf('queue')]).toEqual(['a', 'b'])

    expect(breakers.startProbes(99, 9)).toEqual([])
    expect(breakers.startProbes(100, 9)).toHaveLength(1)
    expect(breakers.startProbes(150, 9)).toEqual([])
    breakers.probeFailed('queue', 150)
    expect(breakers.nextProbeAtMs).toBe(300)

    expect(breakers.close('queue', 800)).toBe(800)
    expect([breakers.size, breakers.close('queue', 900)]).toEqual([0, null])
  })

  it('counts a pause from the beginning of the last probe, half of it at least after its answer', () => {
    const breakers = new Breakers(() => 100)
    breakers.fail(failure, 'a', 0)
    const next = [30, 80].map((tookMs) => {
      const startMs = breakers.nextProbeAtMs
      breakers.startProbes(startMs, 1)
      breakers.probeFailed('queue', startMs + tookMs)
      return breakers.nextProbeAtMs - startMs
    })

    expect(next).toEqual([100, 130])
  })

  it('waits at least as long as the broker asks', () => {
    const breakers = new Breakers(() => 100)

    expect(breakers.fail({ ...failure, retryAfterMs: 5_000 }, 'a', 0)).toBe(5_000)
  })
})
