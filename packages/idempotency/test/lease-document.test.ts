import { propertyRuns } from '@malote/testing/property-scale'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createDocumentLeaseStore } from '../src/http/lease/stores/document-lease-store.ts'
import type { LeaseDocuments } from '../src/http/lease/stores/lease-documents.ts'
import { leaseFrom, type LeaseDocument } from '../src/http/lease/stores/lease-document.ts'
import type { LeasedKey, LeaseExpiryPolicy } from '../src/http/lease/stores/lease-store.ts'
import { createMemoryDocuments, type MemoryDocuments, Turns } from './lease-documents.ts'
import { aClaim, LeaseModel, policies, storedResponse } from './lease-model.ts'

// No I/O, so ten thousand histories take seconds. fast-check prints the seed and the shortest history that fails.
const numRuns = propertyRuns(10_000)
const limitMs = 60_000
const times = { leaseMs: 100, bodyRetentionMs: 500, keyRetentionMs: 1_000 }
const key = { tenant: 'acme', keyHash: Buffer.alloc(32, 7) }

/** Instants at which comparisons go wrong: around the end of the lease and the end of the key. */
const instants = [
  'before the lease ends',
  'the lease ends',
  'after the lease',
  'the key ends',
  'after the key',
] as const
type Instant = (typeof instants)[number]

/** Moves the clock forward to an instant, if the key has one and it is still to come. */
function moveTo(memory: MemoryDocuments, instant: Instant): void {
  const document = memory.all().find(({ movedTo }) => movedTo === undefined)
  const { leaseUntilMs = null, expiresAtMs = null } = document ?? {}
  const end = instant.includes('lease') ? leaseUntilMs : expiresAtMs
  if (end === null) return
  const offset = instant.startsWith('before') ? -1 : instant.startsWith('after') ? 1 : 0
  memory.nowMs = Math.max(memory.nowMs, end + offset)
}

describe('the state machine of a lease', () => {
  const process = fc.integer({ min: 0, max: 2 })
  const ofProcess = fc.constantFrom('claim', 'renew', 'complete', 'retryable', 'indeterminate', 'crash')
  const ofNobody = fc.constantFrom(...instants, 'operator completes', 'operator frees', 'mismatch')
  const step = fc.oneof(
    fc.record({ process, kind: fc.constant('claim') }),
    fc.record({ process, kind: ofProcess }),
    fc.record({ process, kind: ofNobody }),
  )
  type Step = { readonly process: number; readonly kind: string }

  async function play(policy: LeaseExpiryPolicy, story: readonly Step[]): Promise<void> {
    const memory = createMemoryDocuments()
    const store = createDocumentLeaseStore(memory)
    const model = new LeaseModel(policy)
    const claim = aClaim(policy, key.keyHash, times)
    const held = new Map<number, LeasedKey>()
    let leaseUntilMs = 0

    const act = async ({ process, kind }: Step): Promise<unknown> => {
      const mine = held.get(process) ?? { ...key, fence: 0 }
      if (kind === 'claim') {
        const result = await store.claim(claim)
        if (result.kind === 'claimed') held.set(process, { ...key, fence: result.fence })
        return result.kind === 'claimed' && result.attempt
      }
      if (kind === 'renew') return store.renew(mine, times.leaseMs)
      if (kind === 'complete') return store.complete(mine, storedResponse, times)
      if (kind === 'retryable' || kind === 'indeterminate') return store.release(mine, kind, times)
      if (kind === 'operator completes') return store.resolve(key, storedResponse, times)
      if (kind === 'operator frees') return store.resolve(key, 'retryable', times)
      if (kind === 'crash') return held.delete(process)
      if (kind !== 'mismatch') return moveTo(memory, kind as Instant)
      // Of a key that is absent it would be the first request.
      return model.state === 'absent' || (await store.claim({ ...claim, fingerprint: Buffer.alloc(32, 9) })).kind
    }
    const expected = ({ process, kind }: Step): unknown => {
      if (kind === 'claim') return model.claim(process) && model.attempt
      if (kind === 'renew' || kind === 'complete' || kind === 'retryable' || kind === 'indeterminate')
        return model.asOwner(process, kind)
      if (kind === 'operator completes') return model.operator('completed')
      if (kind === 'operator frees') return model.operator('retryable')
      if (kind === 'mismatch') return model.state === 'absent' || 'known'
      // A process that crashed forgets its fence; the key does not.
      if (kind === 'crash' && model.owner === process) model.owner = null
      return undefined
    }

    for (const one of story) {
      const seen = await act(one)
      const wanted = expected(one)
      if (wanted !== undefined && seen !== wanted) expect([one, seen]).toEqual([one, wanted])
      if (wanted !== false && ['claim', 'renew'].includes(one.kind)) leaseUntilMs = memory.nowMs + times.leaseMs
      // A lease and a key last through their last instant.
      model.expired = model.state === 'in_progress' && memory.nowMs > leaseUntilMs
      if (memory.nowMs > (memory.stored(key)?.expiresAtMs ?? Infinity)) model.forget()
      if (model.state !== 'absent' && memory.stored(key)?.state !== model.state)
        expect([one, memory.stored(key)]).toEqual([one, { state: model.state }])
      if (model.completions > 1) throw new Error('a key was completed twice')
    }
  }

  it(
    '14. agrees with the model after every step of 10,000 histories, at the last instant of a lease too',
    async () => {
      const story = fc.array(step, { minLength: 3, maxLength: 16 })
      await fc.assert(fc.asyncProperty(fc.constantFrom(...policies), story, play), { numRuns })
    },
    limitMs,
  )
})

it('a lease that begins at an uncertain time ends late rather than early', () => {
  expect(leaseFrom({ earliestMs: 1_000, latestMs: 1_040 }, 100)).toEqual({ leaseUntilMs: 1_140, leaseMs: 100 })
})

it('a signpost whose process crashed before it created the key is followed, by whoever comes next', async () => {
  const [first, second] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
  const memory = createMemoryDocuments()
  const crashing = { ...memory, write: crashAfter(1, (...replacement) => memory.write(...replacement)) }
  const underSecond = { ...aClaim('retry', second, times), otherHashes: [first] }
  await expect(createDocumentLeaseStore(crashing).claim(underSecond)).rejects.toThrow('did not do')

  const store = createDocumentLeaseStore(memory)
  const underFirst = await store.claim({ ...aClaim('retry', first, times), otherHashes: [second] })

  expect(underFirst).toMatchObject({ kind: 'claimed', keyHash: second, attempt: 1 })
  expect((await store.claim(underSecond)).kind).toBe('known')
  // A process that knows only the hash with the signpost must not run it from there.
  expect((await store.claim(aClaim('retry', first, times))).kind).toBe('known')
  expect(await store.listUnresolved(10)).toEqual([])
})

it.each(['before it was written', 'after it was written'])(
  'a claim whose answer is lost %s is found out',
  async (when) => {
    const memory = createMemoryDocuments()
    let losses = 1
    const losing: LeaseDocuments = {
      ...memory,
      write: async (...replacement) => {
        const isLost = --losses >= 0
        const done = isLost && when.startsWith('before') ? false : await memory.write(...replacement)
        if (isLost) throw new Error('the answer was lost')
        return done
      },
    }
    const claim = aClaim('hold', Buffer.alloc(32, 3), times)

    const result = await createDocumentLeaseStore(losing).claim(claim)

    expect(result).toMatchObject({ kind: 'claimed', attempt: 1, fence: 1, takenOver: false })
    expect((await createDocumentLeaseStore(memory).claim(claim)).kind).toBe('known')
  },
)

it('a write that the client of the store repeats by itself is no other claim', async () => {
  const memory = createMemoryDocuments()
  const repeating: LeaseDocuments = {
    ...memory,
    write: async (...replacement) => {
      await memory.write(...replacement)
      return memory.write(...replacement)
    },
  }

  const result = await createDocumentLeaseStore(repeating).claim(aClaim('hold', Buffer.alloc(32, 4), times))

  expect(result.kind).toBe('claimed')
})

/** Does what `write` does, so many times. */
function crashAfter(times: number, write: LeaseDocuments['write']): LeaseDocuments['write'] {
  let written = 0
  return (...replacement) => (written++ < times ? write(...replacement) : Promise.reject(new Error('crash')))
}

describe('processes that read, decide and replace', () => {
  const end = fc.constantFrom('complete', 'renew and complete', 'free', 'crash')
  const turn = fc.record({ who: fc.nat({ max: 11 }), at: fc.option(fc.constantFrom(...instants)) })

  /** Judges every replacement at its instant: a key is in one place, its lease is kept, and its response stays. */
  function judge(memory: MemoryDocuments, former: LeaseDocument | undefined, next: LeaseDocument): void {
    const isOver = (document: LeaseDocument): boolean => memory.nowMs > (document.expiresAtMs ?? Infinity)
    const live = memory.all().find((document) => document.movedTo === undefined && !isOver(document))
    if (live === undefined || next.movedTo !== undefined) return
    if (live !== former) throw new Error('a key is in two places')
    if (live.state === 'completed') throw new Error('a completed key was changed')
    if (next.fence !== live.fence && memory.nowMs <= (live.leaseUntilMs ?? 0))
      throw new Error('a lease was taken before its end')
  }

  /**
   * What three processes do with one key; the turns say in which order they reach the store, and when.
   *
   * @param hashes - of the key; the processes take turns in which of them is current
   */
  async function compete(
    hashes: readonly Buffer[],
    blurMs: number,
    ends: readonly string[],
    order: readonly { readonly who: number; readonly at: Instant | null }[],
  ): Promise<void> {
    const turns = new Turns()
    const memory: MemoryDocuments = createMemoryDocuments({
      turn: turns.take,
      blurMs,
      onWrite: (former, next) => {
        judge(memory, former, next)
        if (next.state === 'completed') completions++
      },
    })
    let completions = 0
    let effects = 0
    const processOf = (ending: string, process: number) => async (): Promise<void> => {
      const store = createDocumentLeaseStore(memory)
      const [keyHash, ...otherHashes] = process % 2 === 0 ? hashes : hashes.toReversed()
      for (let attempt = 0; attempt < 2; attempt++) {
        const result = await store.claim({ ...aClaim('retry', keyHash as Buffer, times), otherHashes })
        if (result.kind !== 'claimed') continue
        const held = { ...key, keyHash: result.keyHash, fence: result.fence }
        if (ending === 'crash') return
        if (ending === 'renew and complete') await store.renew(held, times.leaseMs)
        if (ending === 'free') await store.release(held, 'retryable', times)
        else if (await store.complete(held, storedResponse, times)) effects++
      }
    }

    let at = 0
    await turns.run(ends.map(processOf), (waiting) => {
      const next = order[at++]
      if (next !== undefined && next.at !== null) moveTo(memory, next.at)
      return (next?.who ?? 0) % waiting
    })

    expect(effects).toBe(completions)
  }

  const [one, two] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
  it.each([
    ['that all name it alike', [one]],
    ['of which some name it by a new pepper and some by the old one', [one, two]],
    ['of which some name it by the old pepper and some by a new one', [two, one]],
  ])(
    '14. %s have one effect while the key is remembered, and take no lease before its end',
    async (_, hashes) => {
      const orders = fc.array(turn, { minLength: 6, maxLength: 40 })
      const ends = fc.array(end, { minLength: 3, maxLength: 3 })
      const story = fc.asyncProperty(fc.constantFrom(0, 1, 40), ends, orders, (blurMs, ending, order) =>
        compete(hashes, blurMs, ending, order),
      )
      await fc.assert(story, { numRuns })
    },
    limitMs,
  )
})
