import assert from 'node:assert/strict'
import { claimed, expire, known, response, retention, shortClaim, type Case, type Claimed } from './steps.ts'

/** Who lost a key has no say over it. */
export const fencingCases: readonly Case[] = [
  {
    name: 'of 8 take-overs of an expired lease at once one wins, with the next fence and attempt',
    run: async (harness) => {
      const claim = shortClaim(harness)
      const first = await claimed(await harness.createStore(), claim)
      await expire(harness)
      const stores = await Promise.all(Array.from({ length: 8 }, () => harness.createStore()))

      const results = await Promise.all(stores.map((store) => store.claim({ ...claim, leaseMs: 60_000 })))

      const winners = results.filter((result) => result.kind === 'claimed')
      assert.deepEqual(
        winners.map(({ attempt, takenOver }) => [attempt, takenOver]),
        [[2, true]],
      )
      assert.ok((winners[0] as Claimed).fence > first.fence)
    },
  },
  {
    name: 'who lost the key to a take-over can neither renew, remember, complete nor release it',
    run: async (harness) => {
      const store = await harness.createStore()
      const claim = shortClaim(harness)
      const zombie = await claimed(store, claim)
      await expire(harness)
      const owner = await claimed(store, { ...claim, leaseMs: 60_000 })

      assert.equal(await store.renew(zombie, 1), false)
      assert.equal(await store.saveRecovery(zombie, { point: 'zombie', data: null }), false)
      assert.equal(await store.complete(zombie, { ...response, status: 500 }, retention), false)
      assert.equal(await store.release(zombie, 'retryable', retention), false)
      assert.equal(await store.release(zombie, 'indeterminate', retention), false)

      assert.ok(Number((await known(store, claim)).leaseMs) > 1_000)
      assert.equal(await store.complete(owner, response, retention), true)
      assert.equal((await known(store, claim)).status, response.status)
    },
  },
  {
    name: 'a renewed lease is not taken over, and one that ran out but was not taken can be renewed and completed',
    run: async (harness) => {
      const store = await harness.createStore()
      const claim = shortClaim(harness)
      const held = await claimed(store, claim)
      await expire(harness)

      assert.equal(await store.renew(held, 60_000), true)
      assert.equal((await known(store, claim)).state, 'in_progress')
      assert.equal(await store.complete(held, response, retention), true)
    },
  },
]
