import { setTimeout as sleep } from 'node:timers/promises'
import type { Fault, History } from '../history/history.ts'
import type { FaultLog, Harm, Hollow } from './fault-log.ts'
import { nowMs } from './journal.ts'
import { createDeadLetters, createHeldKeys, createTopics } from './library.ts'
import { curableKeys, curableType } from './roles/curing-publisher.ts'

type OperatorFault = 'pause-topic' | 'hold-key' | 'replay-dead-letters'

const steering = { by: 'chaos', reason: 'in the middle of faults' }

/** The topic that most messages have. */
const topic = 'chaos'

/** By then every relay has heard of what an operator decided. */
const heardMs = 2_000

/** What an operator does by hand while everything else goes on. An answer that is lost is asked for again, as an operator would. */
export function operatorFaults(log: FaultLog, keys: readonly string[]): Record<OperatorFault, Harm> {
  const db = log.cluster.pool
  const [topics, heldKeys] = [createTopics({ db }), createHeldKeys({ db })]
  const busy = new Set<string>()
  /** One at a time for each thing: what is paused is not paused again, and not let go by another. */
  const alone = async (what: string, work: () => Promise<void>): Promise<void> => {
    if (busy.has(what)) return
    busy.add(what)
    await work()
    busy.delete(what)
  }
  return {
    'pause-topic': (fault) =>
      alone(topic, () =>
        log.onNobody(fault, async () => {
          await insist(() => topics.pause(topic, steering))
          await sleep(heardMs + fault.forMs)
          await insist(() => topics.resume(topic))
        }),
      ),
    'hold-key': (fault) => {
      const key = keys[fault.target % keys.length] ?? ''
      return alone(key, () =>
        log.onNobody(fault, async () => {
          await insist(() => heldKeys.hold(topic, key, steering))
          await sleep(heardMs)
          const held = await untilHeld(log, key)
          await sleep(fault.forMs)
          const left = await insist(() => waitingOf(log, key))
          await insist(() => heldKeys.release(topic, key))
          return heldNobody(key, held, left)
        }),
      )
    },
    // Some of them die again at once, of a relay that has not heard of the cure, and are replayed another time.
    'replay-dead-letters': (fault) =>
      log.onNobody(fault, async () => {
        cure(log, true)
        await insist(() => replayCurable(log))
        await sleep(fault.forMs)
        cure(log, false)
      }),
  }
}

/** So long a key may go without a message before nobody is held by it. */
const idleForMs = 10_000

/** Ids of the key's messages that wait, as soon as there are some. */
async function untilHeld(log: FaultLog, key: string): Promise<readonly string[]> {
  const deadlineMs = nowMs() + idleForMs
  for (;;) {
    const ids = await insist(() => waitingOf(log, key))
    if (ids.length > 0 || nowMs() > deadlineMs) return ids
    await sleep(100)
  }
}

async function waitingOf({ cluster }: FaultLog, key: string): Promise<readonly string[]> {
  const waiting = 'select id from malote.messages where topic = $1 and ordering_key = $2'
  return (await cluster.pool.query<{ id: string }>(waiting, [topic, key])).rows.map(({ id }) => id)
}

/**
 * What is wrong with a hold by hand: nothing waited, or what waited when every relay had heard of it was gone before the release.
 * One message that stayed is enough: another may have been in flight with a relay that stood still.
 */
export function heldNobody(key: string, held: readonly string[], left: readonly string[]): Hollow {
  if (held.length === 0) return `nothing of ${key} waited`
  if (!held.some((id) => left.includes(id))) return `${String(held.length)} of ${key} went out all the same`
}

function cure({ cluster }: FaultLog, isCured: boolean): void {
  for (const { process } of cluster.of('relay')) process?.send({ type: 'cure', isCured })
}

/** @returns how many were replayed */
export async function replayCurable({ cluster: { pool: db } }: FaultLog): Promise<number> {
  const letters = await createDeadLetters({ db }).list({ type: curableType, limit: 1_000 })
  return createDeadLetters({ db }).replay(
    letters.map(({ deadLetterId }) => deadLetterId),
    { operator: steering.by, reason: steering.reason },
  )
}

/** From now on nothing is ill, and what died of it is replayed until `signal` says that it is enough. */
export async function cureForGood(log: FaultLog, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    cure(log, true)
    await replayCurable(log).catch(() => 0) // The database is down: soon again.
    await sleep(300)
  }
}

/** The database is down, or it did it and the answer was lost: once more. */
async function insist<Answer>(act: () => Promise<Answer>): Promise<Answer> {
  for (;;) {
    try {
      return await act()
    } catch {
      await sleep(100)
    }
  }
}

/**
 * Operators' actions with no effect, where nothing else was near that could hide it: something of a paused topic was published all
 * the same, or in the whole run no dead letter that was replayed came through.
 */
export function ignoredOperators({ faults, committed, publications }: History, isCurable: boolean): readonly string[] {
  const elsewhere = new Set(committed.filter(({ key }) => key?.startsWith('hung-')).map(({ id }) => id))
  const pauses = faults.filter((fault) => fault.kind === 'pause-topic' && isAlone(fault, faults))
  const ignored = pauses.flatMap(({ startedAtMs, endedAtMs }) => {
    const sent = publications.filter(
      (one) => one.startedAtMs > startedAtMs + heardMs && one.startedAtMs < endedAtMs - 100 && !elsewhere.has(one.id),
    )
    const waiting = committed.some(({ id, atMs }) => !elsewhere.has(id) && atMs > startedAtMs && atMs < endedAtMs)
    if (!waiting) return [`pause-topic from ${String(Math.round(startedAtMs))}: nothing waited for its end`]
    if (sent.length === 0) return []
    return [`pause-topic from ${String(Math.round(startedAtMs))}: ${String(sent.length)} published all the same`]
  })
  if (!isCurable) return ignored
  const ill = new Set(committed.flatMap(({ id, key }) => (key !== null && curableKeys.includes(key) ? [id] : [])))
  const died = publications.filter(({ id, answer }) => answer === 'refused' && ill.has(id)).map(({ id }) => id)
  const came = new Set(publications.flatMap(({ id, answer }) => (answer === 'accepted' ? [id] : [])))
  const isReplayed = died.some((id) => came.has(id))
  return isReplayed ? ignored : [...ignored, 'replay-dead-letters: nothing that had died came through']
}

const isAlone = (fault: Fault, faults: readonly Fault[]): boolean =>
  faults.every(
    (one) => one === fault || one.endedAtMs < fault.startedAtMs - 10_000 || one.startedAtMs > fault.endedAtMs,
  )
