import type { ClockReading, LeaseDocument } from '../src/http/lease/stores/lease-document.ts'
import type { LeaseDocuments } from '../src/http/lease/stores/lease-documents.ts'
import { documentName } from '../src/http/lease/stores/lease-document.ts'
import type { KeyName } from '../src/http/lease/stores/lease-store.ts'

/** Documents in memory under a clock that only the test moves: what the state machine needs of a store, and no I/O. */
export interface MemoryDocuments extends LeaseDocuments {
  /** The store's true time. */
  nowMs: number
  stored(key: KeyName): LeaseDocument | undefined
  all(): readonly LeaseDocument[]
}

export interface MemoryDocumentsOptions {
  /** Waited for before every read and every write. */
  readonly turn?: () => Promise<void>
  /** How far from the true time the ends of a reading are, in milliseconds. */
  readonly blurMs?: number
  /** Sees every replacement at its instant, before it is made. */
  readonly onWrite?: (former: LeaseDocument | undefined, next: LeaseDocument, nowMs: number) => void
}

export function createMemoryDocuments(options: MemoryDocumentsOptions = {}): MemoryDocuments {
  const { turn = () => Promise.resolve(), blurMs = 0, onWrite } = options
  const documents = new Map<string, LeaseDocument>()
  const nameOf = (key: KeyName): string => Object.values(documentName(key)).join('/')
  const clock = (): ClockReading => ({ earliestMs: memory.nowMs - blurMs, latestMs: memory.nowMs + blurMs })
  const memory: MemoryDocuments = {
    name: 'memory',
    nowMs: 1_000_000,
    stored: (key) => documents.get(nameOf(key)),
    all: () => [...documents.values()],
    read: async (key) => {
      await turn()
      return { document: documents.get(nameOf(key)) ?? null, clock: clock() }
    },
    write: async (key, document, revision) => {
      await turn()
      const former = documents.get(nameOf(key))
      if ((former?.revision ?? null) !== revision) return false
      onWrite?.(former, document, memory.nowMs)
      documents.set(nameOf(key), document)
      return true
    },
    listOpen: () => Promise.resolve({ documents: memory.all(), clock: clock() }),
  }
  return memory
}

/** Lets programs run one at a time: each stops at its next turn, and the test says whose turn it is. */
export class Turns {
  readonly #waiting: (() => void)[] = []
  #running = 0
  #quiet = Promise.withResolvers<void>()

  readonly take = (): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push(resolve)
    this.#rest()
    return promise
  }

  /** @param choose - given how many wait, says which goes on */
  async run(programs: readonly (() => Promise<void>)[], choose: (waiting: number) => number): Promise<void> {
    this.#running = programs.length
    const ended = Promise.all(programs.map((program) => program().finally(() => this.#rest())))
    ended.catch(() => {}) // Judged below, when nobody waits any more.
    for (;;) {
      await this.#quiet.promise
      if (this.#waiting.length === 0) break
      this.#quiet = Promise.withResolvers<void>()
      this.#running = 1
      this.#waiting.splice(choose(this.#waiting.length), 1)[0]?.()
    }
    await ended
  }

  #rest(): void {
    this.#running--
    if (this.#running === 0) this.#quiet.resolve()
  }
}
