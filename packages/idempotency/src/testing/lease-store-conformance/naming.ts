import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { LeaseClaim } from '../../http/lease/stores/lease-store.ts'
import { aClaim, claimed, expire, known, response, retention, type Case } from './steps.ts'

type Roles = readonly [former: LeaseClaim, latter: LeaseClaim]

/** A claim, and the same as a process makes it to which the other hash is the current one. */
function inBothRoles(): Roles {
  const claim = aClaim()
  const other = randomBytes(32)
  return [
    { ...claim, otherHashes: [other] },
    { ...claim, keyHash: other, otherHashes: [claim.keyHash] },
  ]
}

/** A key that is claimed first under the lesser of its hashes, and one under the greater: a store may tell them apart. */
function bothOrders(): readonly Roles[] {
  const ordered = ([one, other]: Roles, sign: number): Roles =>
    one.keyHash.compare(other.keyHash) === sign ? [one, other] : [other, one]
  return [ordered(inBothRoles(), -1), ordered(inBothRoles(), 1)]
}

/** One key under the hashes of two peppers, while one replaces the other. */
export const namingCases: readonly Case[] = [
  {
    name: 'of 8 claims at once that name one key by two hashes in different roles one gets it',
    run: async (harness) => {
      const stores = await Promise.all(Array.from({ length: 8 }, () => harness.createStore()))
      for (let round = 0; round < 10; round++) {
        const roles = inBothRoles()

        const results = await Promise.all(stores.map((store, at) => store.claim(roles[at % 2] as LeaseClaim)))

        assert.equal(results.filter(({ kind }) => kind === 'claimed').length, 1)
        for (const result of results) if (result.kind === 'known') assert.equal(result.record.state, 'in_progress')
      }
    },
  },
  {
    name: 'a key is found under its other hash, and stays there when it is taken over and completed',
    run: async (harness) => {
      for (const [former, latter] of bothOrders()) {
        const store = await harness.createStore()
        const zombie = await claimed(store, former)
        assert.equal((await known(store, latter)).state, 'in_progress')
        await store.renew(zombie, 1)
        await expire(harness)

        const owner = await claimed(store, latter)

        assert.deepEqual([owner.keyHash, owner.attempt, owner.takenOver], [zombie.keyHash, 2, true])
        assert.equal(await store.complete(zombie, response, retention), false)
        assert.equal(await store.complete(owner, response, retention), true)
        for (const claim of [former, latter]) assert.deepEqual((await known(store, claim)).keyHash, zombie.keyHash)
      }
    },
  },
  {
    name: 'a key that has expired under its other hash is absent: the next claim is its first attempt',
    run: async (harness) => {
      for (const [former, latter] of bothOrders()) {
        const store = await harness.createStore()
        const first = await claimed(store, former)
        await store.release(first, 'retryable', { bodyRetentionMs: 1, keyRetentionMs: 1 })
        await expire(harness)

        const again = await claimed(store, latter)

        assert.equal(again.attempt, 1)
        assert.equal((await known(store, former)).state, 'in_progress')
        assert.equal(await store.complete(again, response, retention), true)
      }
    },
  },
]
