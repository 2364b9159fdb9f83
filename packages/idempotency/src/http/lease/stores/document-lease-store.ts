import { randomUUID } from 'node:crypto'
import { IdempotencyError } from '../../../errors.ts'
import type { StoredResponse } from '../../key-record.ts'
import {
  type ClockReading,
  completed,
  decideClaim,
  isHeldBy,
  isUnresolved,
  leaseFrom,
  type LeaseDocument,
  successor,
  toKeyRecord,
  toUnresolvedKey,
} from './lease-document.ts'
import type { LeaseDocuments } from './lease-documents.ts'
import { findPlace } from './lease-place.ts'
import type { KeyName, LeaseClaimResult, LeasedKey, LeaseStore, Retention } from './lease-store.ts'

/** Given what is stored, what to store instead; null changes nothing. */
type Step = (document: LeaseDocument | null, clock: ClockReading) => LeaseDocument | null

/**
 * A lease store on top of any store that can compare and replace one document: read, decide, replace if nothing changed
 * meanwhile, else again. It cannot commit a handler's effects together with the response; only PostgreSQL can.
 */
export function createDocumentLeaseStore(store: LeaseDocuments): LeaseStore {
  const documents = failingAlike(store)

  async function change(key: KeyName, step: Step): Promise<boolean> {
    for (;;) {
      const { document, clock } = await documents.read(key)
      const next = step(document, clock)
      if (next === null) return false
      if (await documents.write(key, next, document?.revision ?? null)) return true
    }
  }

  const changeHeld = (held: LeasedKey, next: (clock: ClockReading) => Partial<LeaseDocument>): Promise<boolean> =>
    change(held, (document, clock) => (isHeldBy(document, held) ? successor(document, next(clock)) : null))

  return {
    name: documents.name,
    claim: async (claim) => {
      const claimId = randomUUID()
      let takenOver = false
      for (let failures = 0; ;) {
        const { keyHash, document, clock } = await findPlace(documents, claim)
        // Written after all: the answer was lost, or the client of the store sent the write again by itself.
        if (document?.claimId === claimId && document.state === 'in_progress') return claimedAs(document, takenOver)
        const decision = decideClaim(document, { ...claim, keyHash }, clock)
        if (decision.kind === 'too-old') return decision
        if (decision.kind === 'known') return { kind: 'known', record: toKeyRecord(document as LeaseDocument, clock) }
        const next = decision.kind === 'take' ? { ...decision.next, claimId } : decision.next
        takenOver = decision.kind === 'take' && decision.takenOver
        try {
          if (!(await documents.write({ ...claim, keyHash }, next, document?.revision ?? null))) continue
        } catch (error) {
          if (++failures > 1) throw error
          continue
        }
        if (decision.kind === 'give-up') return { kind: 'known', record: toKeyRecord(next, clock) }
        return claimedAs(next, takenOver)
      }
    },
    renew: (held, leaseMs) => changeHeld(held, (clock) => leaseFrom(clock, leaseMs)),
    saveRecovery: (held, recovery) => changeHeld(held, () => ({ recovery })),
    complete: (held, response, retention) => changeHeld(held, (clock) => completed(response, retention, clock)),
    release: (held, state, { keyRetentionMs }) =>
      changeHeld(held, (clock) => ({
        state,
        leaseUntilMs: null,
        expiresAtMs: state === 'retryable' ? clock.latestMs + keyRetentionMs : null,
      })),
    listUnresolved: async (limit) => {
      const { documents: open, clock } = await documents.listOpen(limit)
      return open.filter((document) => isUnresolved(document, clock)).map(toUnresolvedKey)
    },
    resolve: (key, decision, retention) =>
      change(key, (document, clock) => {
        if (document === null || !isUnresolved(document, clock)) return null
        return successor(document, { ...resolution(decision, retention, clock), fence: document.fence + 1 })
      }),
  }
}

function claimedAs({ keyHash, fence, attempt, recovery }: LeaseDocument, takenOver: boolean): LeaseClaimResult {
  return { kind: 'claimed', keyHash: Buffer.from(keyHash, 'hex'), fence, attempt, recovery, takenOver }
}

/** Whatever a client throws when its server does not answer: to a request it means that it cannot be protected now. */
function failingAlike(store: LeaseDocuments): LeaseDocuments {
  const reached = async <Result>(answer: Promise<Result>): Promise<Result> => {
    try {
      return await answer
    } catch (error) {
      throw new IdempotencyError('STORE_UNAVAILABLE', `the ${store.name} store did not do what it was asked`, {
        cause: error,
      })
    }
  }
  return {
    name: store.name,
    read: (key) => reached(store.read(key)),
    write: (key, document, revision) => reached(store.write(key, document, revision)),
    listOpen: (limit) => reached(store.listOpen(limit)),
  }
}

function resolution(
  decision: StoredResponse | 'retryable',
  retention: Retention,
  clock: ClockReading,
): Partial<LeaseDocument> {
  if (decision !== 'retryable') return completed(decision, retention, clock)
  return { state: 'retryable', attempt: 0, leaseUntilMs: null, expiresAtMs: clock.latestMs + retention.keyRetentionMs }
}
