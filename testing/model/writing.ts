import type { Step } from './explore.ts'
import type { ProtocolOptions } from './protocol.ts'
import { bit, type Bits, isEmpty, type State, type Writer } from './state.ts'

/** Bit of a writer's present transaction, as `pg_locks` would name it. */
const transactionOf = (index: number, writer: Writer): number => index * 4 + writer.transaction

/** Transactions that hold RowExclusiveLock on the table: from before their nextval to their end. */
export function lockHolders(state: State): Bits {
  return state.writers.reduce(
    (holders, writer, index) => (writer.phase === 'idle' ? holders : holders | bit(transactionOf(index, writer))),
    0,
  )
}

/** What `pg_snapshot_xmin` would answer: the oldest running xid, or the next one after the latest completed. */
export function snapshotXmin(state: State): number {
  const running = state.writers.filter((writer) => writer.xid > 0).map((writer) => writer.xid)
  return Math.min(snapshotXmax(state), ...running)
}

/** `pg_snapshot_xmax` is one after the latest COMPLETED xid, not the next xid to be assigned. */
export const snapshotXmax = (state: State): number => state.latestCompletedXid + 1

/** Begin (table lock, key lock) · xid · nextval · commit or rollback, for each writer. */
export function writerSteps(state: State, options: ProtocolOptions): Step<State>[] {
  return state.writers.flatMap((writer, index) => {
    const isKeyed = options.writers[index]?.[writer.transaction]
    if (isKeyed === undefined) return []
    const name = `writer ${String(index + 1)}`
    const to = (change: Partial<Writer>, also: Partial<State> = {}): State => ({
      ...state,
      ...also,
      writers: state.writers.with(index, { ...writer, ...change }),
    })
    if (writer.phase === 'idle') {
      const waitsForKey = isKeyed && state.writers.some((other, at) => holdsKey(other, at, options))
      return waitsForKey ? [] : [{ name: `${name} begins`, next: to({ phase: 'begun' }), isProgress: true }]
    }
    const steps: Step<State>[] = []
    if (options.mistake === 'floor-by-xmin' && writer.xid === 0)
      steps.push({
        name: `${name} gets xid ${String(state.nextXid)}`,
        next: to({ xid: state.nextXid }, { nextXid: state.nextXid + 1 }),
        isProgress: true,
      })
    if (writer.phase === 'begun') {
      const seq = state.nextSeq
      const next = to({ phase: 'drawn', seq }, { nextSeq: seq + 1, ...added(state, seq, isKeyed, options) })
      return [
        ...steps,
        { name: `${name} draws seq ${String(seq)}${isKeyed ? ' for the key' : ''}`, next, isProgress: true },
      ]
    }
    return [...steps, ...endSteps(state, writer, name, isKeyed, to)]
  })
}

/** By a connection of its own: it is there at once, whatever becomes of the writer's transaction. */
function added(state: State, seq: number, isKeyed: boolean, { mistake }: ProtocolOptions): Partial<State> {
  if (mistake !== 'add-outside-the-transaction') return {}
  const { rows, keyed, unbacked } = state
  return { rows: rows | bit(seq), keyed: isKeyed ? keyed | bit(seq) : keyed, unbacked: unbacked | bit(seq) }
}

function endSteps(
  state: State,
  writer: Writer,
  name: string,
  isKeyed: boolean,
  to: (change: Partial<Writer>, also: Partial<State>) => State,
): Step<State>[] {
  const ended = { transaction: writer.transaction + 1, phase: 'idle', seq: 0, xid: 0 } as const
  const latestCompletedXid = Math.max(state.latestCompletedXid, writer.xid)
  const seq = bit(writer.seq)
  const isInTable = !isEmpty(state.unbacked & seq)
  const committed = {
    latestCompletedXid,
    rows: isInTable ? state.rows : state.rows | seq,
    keyed: isKeyed ? state.keyed | seq : state.keyed,
    unbacked: state.unbacked & ~seq,
  }
  const steps = [{ name: `${name} commits seq ${String(writer.seq)}`, next: to(ended, committed), isProgress: true }]
  if (state.faultsLeft === 0) return steps
  const next = to(ended, { latestCompletedXid, faultsLeft: state.faultsLeft - 1 })
  return [...steps, { name: `${name} rolls back seq ${String(writer.seq)}`, next, isProgress: false }]
}

const holdsKey = (writer: Writer, index: number, options: ProtocolOptions): boolean =>
  writer.phase !== 'idle' && options.writers[index]?.[writer.transaction] === true
