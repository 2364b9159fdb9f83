import type { LeaseDocuments } from './lease-documents.ts'
import { type ClockReading, isExpired, type LeaseDocument, signpost } from './lease-document.ts'
import type { LeaseClaim } from './lease-store.ts'

/** A document of a key as it was read. */
export interface Place {
  readonly keyHash: Buffer
  readonly document: LeaseDocument | null
  readonly clock: ClockReading
}

/**
 * Where a key is, or is to be created, when it may be known by several hashes.
 *
 * Only one document at a time can be replaced, so the least of the hashes decides: who creates a key under another one puts
 * up a signpost there first, and who finds a signpost follows it. An expired document elsewhere is replaced by one too:
 * somebody may have read it before it expired and be about to go on with it. However the reads and writes of two
 * processes mix, one of them then fails to replace what it has read, and looks again.
 */
export async function findPlace(documents: LeaseDocuments, claim: LeaseClaim): Promise<Place> {
  const hashes = [claim.keyHash, ...claim.otherHashes].sort((a, b) => a.compare(b))
  for (;;) {
    const places: Place[] = []
    for (const keyHash of hashes) places.push({ keyHash, ...(await documents.read({ ...claim, keyHash })) })
    const known = places.find((place) => isRemembered(place) && place.document?.movedTo === undefined)
    if (known !== undefined) return known
    const home = homeOf(places, claim.keyHash)
    if (await leadTo(documents, home, places, claim)) return home
  }
}

function isRemembered({ document, clock }: Place): boolean {
  return document !== null && !isExpired(document, clock)
}

/** Where to create a key that is nowhere. The first place itself when it points to a hash that the caller does not know. */
function homeOf(places: readonly Place[], keyHash: Buffer): Place {
  const first = places[0] as Place
  const name = (isRemembered(first) ? first.document?.movedTo : undefined) ?? keyHash.toString('hex')
  return places.find((place) => place.keyHash.toString('hex') === name) ?? first
}

/** @returns false when something has changed meanwhile */
async function leadTo(
  documents: LeaseDocuments,
  home: Place,
  places: readonly Place[],
  claim: LeaseClaim,
): Promise<boolean> {
  for (const place of places) {
    const { keyHash, document } = place
    if (place === home || (place !== places[0] && document === null)) continue
    const post = signpost(place, home.keyHash, claim)
    if (!(await documents.write({ ...claim, keyHash }, post, document?.revision ?? null))) return false
  }
  return true
}
