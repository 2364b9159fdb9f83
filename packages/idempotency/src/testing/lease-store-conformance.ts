import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { ConformanceCase } from '@malote/outbox-core/testing'
import { type KeyRecord, meet, type StoredResponse } from '../key-record.ts'
import type { HeldKey, LeaseClaim, LeaseClaimResult, LeaseStore, Retention } from '../stores/lease-store.ts'

/** How the kit reaches a store on a real server. Every case uses keys of its own. */
export interface LeaseStoreHarness {
  /** A store; another one each time, as another process would have it. */
  createStore(): Promise<LeaseStore>
  /** Lets `ms` pass by the store's clock: waits, or turns the store's clock. */
  elapse(ms: number): Promise<void>
  /** Shortest lease that the cases may use, in milliseconds. @defaultValue 50 */
  readonly shortLeaseMs?: number
}

type Case = ConformanceCase<LeaseStoreHarness>
type Claimed = Extract<LeaseClaimResult, { kind: 'claimed' }>

const retention: Retention = { bodyRetentionMs: 60_000, keyRetentionMs: 120_000 }
const response: StoredResponse = {
  status: 201,
  headers: { location: '/orders/1', 'content-type': 'application/json' },
  body: Buffer.from([0, 255, 123]),
  bodyKept: true,
  encryptionKeyId: null,
  resourceRef: 'order-1',
}

function aClaim(change: Partial<LeaseClaim> = {}): LeaseClaim {
  return {
    tenant: 'acme',
    keyHash: randomBytes(32),
    subjectHash: randomBytes(32),
    fingerprintVersion: 1,
    fingerprint: randomBytes(32),
    operation: 'createOrder',
    leaseMs: 60_000,
    keyRetentionMs: retention.keyRetentionMs,
    onLeaseExpired: 'resume',
    maxAttempts: 5,
    keyTime: null,
    ...change,
  }
}

/** @throws AssertionError when the store did not give the key */
async function claimed(store: LeaseStore, claim: LeaseClaim): Promise<Claimed & HeldKey> {
  const result = await store.claim(claim)
  assert.equal(result.kind, 'claimed', `claim answered ${result.kind}`)
  return { ...result, tenant: claim.tenant, keyHash: claim.keyHash }
}

/** @throws AssertionError when the store gave the key */
async function known(store: LeaseStore, claim: LeaseClaim): Promise<KeyRecord> {
  const result = await store.claim(claim)
  assert.equal(result.kind, 'known', `claim answered ${result.kind}`)
  return result.record
}

function shortClaim(harness: LeaseStoreHarness, change: Partial<LeaseClaim> = {}): LeaseClaim {
  return aClaim({ leaseMs: harness.shortLeaseMs ?? 50, ...change })
}

const expire = (harness: LeaseStoreHarness): Promise<void> => harness.elapse((harness.shortLeaseMs ?? 50) * 2)

const claiming: readonly Case[] = [
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

      assert.equal(meet(await known(store, other), other.fingerprint), 'mismatch')
      const again = await claimed(store, claim)
      assert.equal(again.attempt, 2)
      await store.release(again, 'retryable', retention)
      assert.equal(meet(await known(store, other), other.fingerprint), 'mismatch')
      assert.equal((await claimed(store, claim)).attempt, 3)
    },
  },
  {
    name: 'an absent key whose own time is older than the retention is not claimed, a younger one is',
    run: async (harness) => {
      const store = await harness.createStore()

      const old = await store.claim(aClaim({ keyTime: new Date(Date.now() - 2 * retention.keyRetentionMs) }))
      const young = await store.claim(aClaim({ keyTime: new Date() }))

      assert.deepEqual([old.kind, young.kind], ['too-old', 'claimed'])
    },
  },
]

const completing: readonly Case[] = [
  {
    name: 'a completed key answers with the response as stored, byte for byte, and is never taken again',
    run: async (harness) => {
      const [one, other] = [await harness.createStore(), await harness.createStore()]
      const claim = shortClaim(harness)
      const held = await claimed(one, claim)

      assert.equal(await one.complete(held, response, retention), true)
      await expire(harness)
      const record = await known(other, claim)

      assert.deepEqual([record.state, record.status, record.headers], ['completed', response.status, response.headers])
      assert.deepEqual(record.body, response.body)
      assert.deepEqual([record.bodyKept, record.resourceRef, record.encryptionKeyId], [true, 'order-1', null])
      assert.ok(record.completedAt instanceof Date)
      assert.equal(await one.complete(held, { ...response, status: 500 }, retention), false)
      assert.equal((await known(other, claim)).status, response.status)
    },
  },
  {
    name: 'a response without a body, and one too large to keep, are told apart',
    run: async (harness) => {
      const store = await harness.createStore()
      const [empty, large] = [aClaim(), aClaim()]

      await store.complete(await claimed(store, empty), { ...response, status: 204, body: null }, retention)
      await store.complete(await claimed(store, large), { ...response, body: null, bodyKept: false }, retention)

      const records = [await known(store, empty), await known(store, large)]
      assert.deepEqual(
        records.map(({ body, bodyKept }) => [body, bodyKept]),
        [
          [null, true],
          [null, false],
        ],
      )
    },
  },
  {
    name: 'after the body retention the key is remembered without its body, after the key retention not at all',
    run: async (harness) => {
      const store = await harness.createStore()
      const stepMs = harness.shortLeaseMs ?? 50
      const claim = aClaim()
      const held = await claimed(store, claim)
      await store.complete(held, response, { bodyRetentionMs: stepMs, keyRetentionMs: 60_000 })
      await harness.elapse(2 * stepMs)
      const record = await known(store, claim)
      assert.deepEqual([record.state, record.bodyKept, record.status], ['completed', false, response.status])

      const brief = aClaim()
      await store.complete(await claimed(store, brief), response, { bodyRetentionMs: stepMs, keyRetentionMs: stepMs })
      await harness.elapse(2 * stepMs)
      assert.equal((await claimed(store, brief)).attempt, 1)
    },
  },
]

const fencing: readonly Case[] = [
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

const giving: readonly Case[] = [
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

const resolving: readonly Case[] = [
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

/** What every store of lease mode must do. Run each against a real server. */
export const leaseStoreConformance: readonly Case[] = [...claiming, ...completing, ...fencing, ...giving, ...resolving]
