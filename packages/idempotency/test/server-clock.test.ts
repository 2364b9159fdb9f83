import fc from 'fast-check'
import { expect, it } from 'vitest'
import { createServerClock } from '../src/http/lease/stores/server-clock.ts'

it('a server clock known only to the second is always inside its bounds, whatever ours says', () => {
  const observation = fc.record({
    pauseMs: fc.integer({ min: 0, max: 20_000 }),
    toMs: fc.integer({ min: 0, max: 900 }),
    fromMs: fc.integer({ min: 0, max: 900 }),
  })
  fc.assert(
    fc.property(
      fc.integer({ min: -1e12, max: 1e12 }),
      fc.array(observation, { minLength: 1, maxLength: 40 }),
      (offsetMs, observations) => {
        let nowMs = 5_000_000_000_000
        const clock = createServerClock(() => nowMs)
        for (const { pauseMs, toMs, fromMs } of observations) {
          const askedAtMs = (nowMs += pauseMs)
          const serverMs = (nowMs += toMs) + offsetMs
          clock.observe(askedAtMs, (nowMs += fromMs), Math.floor(serverMs / 1000) * 1000)

          const { earliestMs, latestMs } = clock.read()
          expect(earliestMs).toBeLessThanOrEqual(nowMs + offsetMs)
          expect(latestMs).toBeGreaterThanOrEqual(nowMs + offsetMs)
        }
      },
    ),
  )
})

it('a server clock cannot be read before the server has answered', () => {
  expect(() => createServerClock().read()).toThrow('before the server answered')
})
