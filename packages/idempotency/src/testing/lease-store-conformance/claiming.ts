import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { aClaim, claimed, expire, known, retention, shortClaim, type Case } from './steps.ts'
import { wallMs } from '../../clock.ts'

/** Who is given a key. */
export const claimingCases: readonly Case[] = [
  {
    name: 'of 8 claims at once from 8 stores one gets the key, the others learn that it is held and for how long',
    run: async (harness) => {
      const claim = aClaim()
      const stores = await Promise.all(Array.from({ length: 8 }, () => harness.createStore()))

      const results = await Promise.all(stores.map((store) => store.claim(claim)))

      assert.equal(results.filter(({ kind }) => kind === 'claimed').length, 1)
      for (const result of results) {
        if (result.kind !== 'known') continue
        assert.equal(result.record.state, 'in_progress')
        assert.ok(Number(result.record.leaseMs) > 0 && Number(result.record.leaseMs) <= claim.leaseMs)
      }
    },
  },
  {
    name: 'keys of different tenants and of different hashes do not meet',
    run: async (harness) => {
      const store = await harness.createStore()
      const claim = aClaim()

      await claimed(store, claim)
      await claimed(store, { ...claim, tenant: 'other' })
      await claimed(store, { ...claim, keyHash: randomBytes(32) })
    },
  },
  {
    name: 'another fingerprint neither takes nor changes a key, whatever its state',
    run: async (harness) => {
      const store = await harness.createStore()
      const claim = shortClaim(harness)
      const other = { ...claim, fingerprint: randomBytes(32) }
      await claimed(store, claim)
      await expire(harness)

      assert.deepEqual((await known(store, other)).fingerprint, claim.fingerprint)
      const again = await claimed(store, claim)
      assert.equal(again.attempt, 2)
      await store.release(again, 'retryable', retention)
      assert.deepEqual((await known(store, other)).fingerprint, claim.fingerprint)
      assert.equal((await claimed(store, claim)).attempt, 3)
    },
  },
  {
    name: 'an absent key whose own time is older than the retention is not claimed, a younger one is',
    run: async (harness) => {
      const store = await harness.createStore()

      const old = await store.claim(aClaim({ keyTime: new Date(wallMs() - 2 * retention.keyRetentionMs) }))
      const young = await store.claim(aClaim({ keyTime: new Date(wallMs()) }))

      assert.deepEqual([old.kind, young.kind], ['too-old', 'claimed'])
    },
  },
]
