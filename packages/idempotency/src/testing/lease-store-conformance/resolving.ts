import assert from 'node:assert/strict'
import type { LeaseClaim } from '../../http/lease/stores/lease-store.ts'
import { aClaim, claimed, expire, known, response, retention, shortClaim, type Case } from './steps.ts'

/** How a request ends without a response, and who decides then. */
export const givingCases: readonly Case[] = [
  {
    name: 'a retryable key is taken at once, with its recovery and the next attempt',
    run: async (harness) => {
      const store = await harness.createStore()
      const claim = aClaim({ onLeaseExpired: 'hold' })
      const held = await claimed(store, claim)
      const recovery = { point: 'charged', data: { chargeId: 'ch_1', amount: 1000 } }

      assert.equal(await store.saveRecovery(held, recovery), true)
      assert.equal(await store.release(held, 'retryable', retention), true)
      const again = await claimed(store, claim)

      assert.deepEqual([again.attempt, again.recovery, again.takenOver], [2, recovery, false])
    },
  },
  {
    name: 'with "hold" an expired lease makes the key indeterminate; nobody gets it and its holder has lost it',
    run: async (harness) => {
      const store = await harness.createStore()
      const claim = shortClaim(harness, { onLeaseExpired: 'hold' })
      const held = await claimed(store, claim)
      await expire(harness)

      assert.equal((await known(store, claim)).state, 'indeterminate')
      assert.equal((await known(store, { ...claim, onLeaseExpired: 'retry' })).state, 'indeterminate')
      assert.equal(await store.complete(held, response, retention), false)
    },
  },
  {
    name: 'when the attempts are used up the key becomes indeterminate',
    run: async (harness) => {
      const store = await harness.createStore()
      const claim = shortClaim(harness, { maxAttempts: 2 })
      await claimed(store, claim)
      await expire(harness)
      await claimed(store, claim)
      await expire(harness)

      assert.equal((await known(store, claim)).state, 'indeterminate')
    },
  },
]

export const resolvingCases: readonly Case[] = [
  {
    name: 'indeterminate keys and abandoned ones are listed, with what their holders knew; a held one is not',
    run: async (harness) => {
      const store = await harness.createStore()
      const [held, unclear, abandoned] = [aClaim(), aClaim(), shortClaim(harness)]
      await claimed(store, held)
      await store.release(await claimed(store, unclear), 'indeterminate', retention)
      await store.saveRecovery(await claimed(store, abandoned), { point: 'charged', data: 1 })
      await expire(harness)

      const listed = await store.listUnresolved(10_000)

      const of = (claim: LeaseClaim) => listed.find(({ keyHash }) => keyHash === claim.keyHash.toString('hex'))
      assert.equal(of(held), undefined)
      assert.equal(of(unclear)?.state, 'indeterminate')
      assert.deepEqual([of(abandoned)?.tenant, of(abandoned)?.recovery], ['acme', { point: 'charged', data: 1 }])
    },
  },
  {
    name: 'an abandoned key can be claimed by what is listed of it, once, with its recovery',
    run: async (harness) => {
      const store = await harness.createStore()
      const claim = shortClaim(harness)
      await store.saveRecovery(await claimed(store, claim), { point: 'charged', data: 1 })
      await expire(harness)
      const listed = (await store.listUnresolved(10_000)).find(
        ({ keyHash }) => keyHash === claim.keyHash.toString('hex'),
      )
      assert.ok(listed !== undefined)

      const again = { ...claim, ...listed.request, leaseMs: 600_000 }
      const taken = await claimed(store, again)

      assert.deepEqual([taken.attempt, taken.recovery?.point, taken.takenOver], [2, 'charged', true])
      assert.equal((await known(store, again)).state, 'in_progress')
    },
  },
  {
    name: 'an operator completes an unresolved key once, or frees it with its attempts given back',
    run: async (harness) => {
      const store = await harness.createStore()
      const [done, freed] = [aClaim(), aClaim({ maxAttempts: 1 })]
      await store.release(await claimed(store, done), 'indeterminate', retention)
      await store.release(await claimed(store, freed), 'indeterminate', retention)

      assert.equal(await store.resolve(done, response, retention), true)
      assert.equal(await store.resolve(done, { ...response, status: 500 }, retention), false)
      assert.equal(await store.resolve(freed, 'retryable', retention), true)

      const record = await known(store, done)
      assert.deepEqual([record.state, record.status], ['completed', response.status])
      assert.deepEqual(record.body, response.body)
      assert.equal((await claimed(store, freed)).attempt, 1)
    },
  },
  {
    name: 'a key that is held, finished or unknown is not resolved, and a holder is fenced off by a resolution',
    run: async (harness) => {
      const store = await harness.createStore()
      const [held, abandoned] = [aClaim(), shortClaim(harness)]
      await claimed(store, held)
      const zombie = await claimed(store, abandoned)
      await expire(harness)

      assert.equal(await store.resolve(held, response, retention), false)
      assert.equal(await store.resolve(aClaim(), response, retention), false)
      assert.equal(await store.resolve(abandoned, 'retryable', retention), true)
      assert.equal(await store.complete(zombie, response, retention), false)
    },
  },
]
