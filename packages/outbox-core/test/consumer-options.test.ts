import { describe, expect, it } from 'vitest'
import { resolveConsumerOptions } from '../src/adapter/index.ts'
import { HandlerOutageError } from '../src/index.ts'
import { aMessageInHand } from '../src/testing/index.ts'
import { aProcessor, failing } from './a-processor.ts'

describe('options of a consumer', () => {
  it('goes on when the observer throws', async () => {
    const { processor } = aProcessor({
      onEvent: () => {
        throw new Error('observer')
      },
    })

    expect(await processor.process(aMessageInHand())).toBe('settled')
  })

  it('comes again by the default backoff when its own fails', async () => {
    for (const backoff of [() => Number.NaN, () => -1, () => JSON.parse('{') as number]) {
      const { processor } = aProcessor({ handler: failing(new Error('x')), backoff })
      const pauses: number[] = []

      await processor.process(aMessageInHand({ retry: (inMs) => pauses.push(inMs) > 0 }))

      expect(pauses).toEqual([expect.any(Number)])
    }
  })

  it('asks the default when its own judgement of outages throws', () => {
    const judge = (): never => {
      throw new Error('a mistake')
    }

    const resolved = resolveConsumerOptions({ handler: () => Promise.resolve(), isOutage: judge })

    expect(resolved.isOutage(new HandlerOutageError('x'))).toBe(true)
  })

  it.each([
    { concurrency: 0 },
    { concurrency: 1.5 },
    { maxAttempts: 0 },
    { pauseAfterOutages: 0 },
    { pauseAfterFailures: 1 },
  ])('refuses %o', (change) => {
    expect(() => resolveConsumerOptions({ handler: () => Promise.resolve(), ...change })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    )
  })
})
