import { modelSeeds } from '@malote/testing/property-scale'
import { expect, it } from 'vitest'
import { runDispatcher } from './dispatcher-model.ts'

it('over random outages, unavailable destinations, failures, replays, holds, pauses, late commits, hand-overs and suspicions each stream goes in sequence, one batch at a time, and nothing is stuck', async () => {
  let published = 0
  for (const seed of modelSeeds(200)) {
    const run = await runDispatcher(seed)
    expect({ seed, ...run }).toMatchObject({
      seed,
      inversions: [],
      overlaps: [],
      notAlone: [],
      charged: [],
      stopped: [],
      mixed: [],
      stuck: [],
    })
    published += run.published
  }
  expect(published).toBeGreaterThan(15_000)
})
