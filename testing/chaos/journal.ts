import { appendFileSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'

const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6

/** From the machine's monotonic clock to the wall clock, read once by the runner and handed to every process it starts. */
export const clockOffsetMs: number = Number(process.env['MALOTE_CHAOS_CLOCK'] ?? Date.now() - monotonicMs())

/**
 * Milliseconds since 1970 with fractions, comparable between processes: one monotonic clock for the whole machine.
 * `performance.timeOrigin` is not: on a busy machine two processes disagree by hundreds of milliseconds.
 */
export const nowMs = (): number => clockOffsetMs + monotonicMs()

export type Entry =
  | { readonly what: 'publishing'; readonly ids: readonly string[]; readonly atMs: number; readonly batch: number }
  | { readonly what: 'accepted'; readonly ids: readonly string[]; readonly atMs: number; readonly batch: number }
  | { readonly what: 'settled'; readonly ids: readonly string[]; readonly atMs: number }
  | { readonly what: 'attempt-paid'; readonly id: string; readonly atMs: number }
  | { readonly what: 'session-lost'; readonly reason: string; readonly atMs: number }
  | { readonly what: 'rescan-found-missed'; readonly messages: number; readonly atMs: number }
  | { readonly what: 'pool-held'; readonly held: number; readonly atMs: number }
  | { readonly what: 'overfull'; readonly bytes: number; readonly atMs: number }
  | { readonly what: 'consumer-event'; readonly event: string; readonly id: string | null; readonly atMs: number }
  | { readonly what: 'arrived' | 'applied'; readonly id: string; readonly atMs: number }

export interface Journal {
  write(entry: Entry): void
}

/** One file for each process, each entry one write: it survives SIGKILL up to the entry being written. */
export function openJournal(folder: string, name: string): Journal {
  const file = openSync(join(folder, `${name}.jsonl`), 'a')
  return { write: (entry) => appendFileSync(file, `${JSON.stringify(entry)}\n`) }
}

/** Every process's entries, by process name. A last line cut off by a kill is left out. */
export function readJournals(folder: string): Map<string, Entry[]> {
  if (!existsSync(folder)) return new Map()
  const files = readdirSync(folder).filter((file) => file.endsWith('.jsonl'))
  return new Map(files.map((file) => [basename(file, '.jsonl'), readEntries(join(folder, file))]))
}

function readEntries(file: string): Entry[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.slice(0, -1).map((line) => JSON.parse(line) as Entry)
}
