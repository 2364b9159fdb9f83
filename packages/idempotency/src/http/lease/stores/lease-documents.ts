import type { ClockReading, LeaseDocument } from './lease-document.ts'
import type { KeyName } from './lease-store.ts'

/** What a store without transactions must offer: read, and replace what was read. */
export interface LeaseDocuments {
  readonly name: string
  /** Reads with strong consistency, and looks at the store's clock no earlier than the read. */
  read(key: KeyName): Promise<{ readonly document: LeaseDocument | null; readonly clock: ClockReading }>
  /**
   * Atomically replaces the document if its stored revision is still `revision` (null: absent).
   * It may vanish after `expiresAtMs`, and never while that is null.
   *
   * @returns whether it did
   */
  write(key: KeyName, document: LeaseDocument, revision: number | null): Promise<boolean>
  /** Documents in progress or indeterminate, oldest first; may lag behind. */
  listOpen(limit: number): Promise<{ readonly documents: readonly LeaseDocument[]; readonly clock: ClockReading }>
}
