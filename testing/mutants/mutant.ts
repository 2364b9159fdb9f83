import { posix } from 'node:path'

/** A small change of one file that breaks a promise. */
export interface Patch {
  /** Says what is broken, in words: it is the name under which a survivor is reported. */
  readonly name: string
  /** From the repository's root. */
  readonly file: string
  /** Stands exactly once in the file. */
  readonly find: string
  readonly replace: string
}

/** A patch, and the tests that must notice. */
export interface Mutant extends Patch {
  readonly promise: string
  /** The test file that kills it. From the repository's root, as `file`. */
  readonly test: string
}

/** Promises, as docs/guarantees.md and the guides word them. */
export const promises = {
  delivered: 'a committed message is delivered at least once',
  backed: 'a message of a transaction that did not commit is never delivered',
  unrepeated: 'a message is published again only when it was in flight at a fault',
  ordered: 'messages of a key come in order',
  once: 'each consumer applies a message once',
  owned: 'a lane has one owner',
  complete: 'a complete cut-off leaves nothing behind that had begun before it',
  innocent: 'only messages that fail pay attempts or die',
  outage: 'an outage costs nobody an attempt',
  refused: 'bad input is refused, in words',
  foreign: 'a message is read as it was written, by clients of other languages too',
  replayed: 'a request is executed once and answered again',
  confidential: 'no client gets what is another’s',
  bounded: 'waits, retries and memory have bounds',
} as const

/** What a promise is called where faults are planted. */
export type PromiseName = keyof typeof promises

type Change = readonly [name: string, promise: PromiseName, find: string, replace: string]

/** Mutants of one file, killed by one test file; both are named from the package's `src` and `test`. */
type MutantsOf = (file: string, test: string, changes: readonly Change[]) => Mutant[]

/** @param root - of the package */
export function mutantsIn(root: string): MutantsOf {
  return (file, test, changes) =>
    changes.map(([name, promise, find, replace]) => ({
      name,
      promise: promises[promise],
      file: posix.join(root, 'src', file),
      find,
      replace,
      test: posix.join(root, 'test', test),
    }))
}
