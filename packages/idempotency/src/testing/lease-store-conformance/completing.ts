import assert from 'node:assert/strict'
import { aClaim, claimed, expire, known, response, retention, shortClaim, type Case } from './steps.ts'

/** What is remembered of a finished request, and for how long. */
export const completingCases: readonly Case[] = [
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
