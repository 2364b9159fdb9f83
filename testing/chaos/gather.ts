import { preparing } from '../harness-error.ts'
import type {
  Arrival,
  Committed,
  CutOffClaim,
  Fault,
  History,
  OwnershipChange,
  Publication,
} from '../history/history.ts'
import type { Cluster } from './cluster.ts'
import { type Entry, readJournals } from './journal.ts'

/** Collects what happened from the ledger, the effects, the ownership log, the dead letters and every process's journal. */
export async function gatherHistory(
  { pool, journals, broker }: Pick<Cluster, 'pool' | 'journals' | 'broker'>,
  injected: readonly Fault[],
  cutOffs: readonly CutOffClaim[],
): Promise<History> {
  const byProcess = readJournals(journals)
  const rows = async <Row>(sql: string): Promise<Row[]> => (await pool.query(sql)).rows as Row[]
  return {
    committed: await rows<Committed>(`
      select id, key, place::float8 as place, lane, extract(epoch from at)::float8 * 1000 as "atMs", doomed as "isDoomed",
        refused as "isRefused", begun_at_ms as "begunAtMs"
      from chaos.ledger order by at`),
    effects: await rows('select id, consumer from chaos.effects order by n'),
    refusals: [...byProcess.values()].flatMap((entries) => entries.flatMap(refusalOf)),
    deadLetters: await rows('select id, reason from malote.dead_letters'),
    ownerships: await rows<OwnershipChange>(`
      select lane, was as "from", now as "to", by, fence::float8 as fence, extract(epoch from at)::float8 * 1000 as "atMs"
      from chaos.ownership order by n`),
    cutOffs,
    publications: [...byProcess].flatMap(([relay, entries]) => publicationsOf(relay, entries)).sort(byStart),
    arrivals: [...byProcess.values()].flatMap((entries) => entries.flatMap(arrivalOf)).sort((a, b) => a.atMs - b.atMs),
    faults: [...injected, ...[...byProcess].flatMap(([relay, entries]) => lostSessions(relay, entries))],
    missedByFloor: [...byProcess.values()].flat().reduce((sum, entry) => sum + missedBy(entry), 0),
    consumers: ['chaos-consumer'],
    remains: {
      outbox: (await rows<{ id: string }>('select id from malote.messages')).map(({ id }) => id),
      broker: await preparing('count what the broker holds', () => broker.unacknowledged()),
      letters: await preparing('count the dead letters', () => broker.deadLetters()),
    },
  }
}

const missedBy = (entry: Entry): number => (entry.what === 'rescan-found-missed' ? entry.messages : 0)
const byStart = (a: Publication, b: Publication): number => a.startedAtMs - b.startedAtMs
const arrivalOf = (entry: Entry): Arrival[] => (entry.what === 'arrived' ? [{ id: entry.id, atMs: entry.atMs }] : [])
const refusalOf = (entry: Entry): string[] =>
  entry.what === 'consumer-event' && entry.event === 'message.dead-lettered' ? [String(entry.id)] : []

type Open = { -readonly [Name in keyof Publication]: Publication[Name] }

function publicationsOf(relay: string, entries: readonly Entry[]): Publication[] {
  const publications: Open[] = []
  const latest = new Map<string, Open>()
  const batches = new Map<number, Open[]>()
  for (const entry of entries) {
    if (entry.what === 'publishing') {
      const batch = entry.ids.map((id): Open => ({
        id,
        relay,
        startedAtMs: entry.atMs,
        answer: 'none',
        answeredAtMs: null,
        settledAtMs: null,
      }))
      publications.push(...batch)
      batches.set(entry.batch, batch)
      for (const publication of batch) latest.set(publication.id, publication)
    } else if (entry.what === 'accepted') {
      const accepted = new Set(entry.ids)
      for (const publication of batches.get(entry.batch) ?? []) {
        publication.answer = accepted.has(publication.id) ? 'accepted' : 'refused'
        publication.answeredAtMs = entry.atMs
      }
    } else if (entry.what === 'settled') {
      for (const id of entry.ids) {
        const publication = latest.get(id)
        if (publication !== undefined) publication.settledAtMs ??= entry.atMs
      }
    }
  }
  return publications
}

/** A relay that gave its session up by itself (a starved machine, a slow server): a fault nobody injected. */
function lostSessions(relay: string, entries: readonly Entry[]): Fault[] {
  return entries
    .filter((entry) => entry.what === 'session-lost')
    .map(({ reason, atMs }) => {
      const instants = { startedAtMs: atMs - 1, endedAtMs: atMs, healsFromMs: atMs }
      return { kind: `session-lost-${reason}`, relay, ...instants, lanes: [] }
    })
}
