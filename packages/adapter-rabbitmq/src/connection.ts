import { OutboxError } from '@malote/outbox-core'
import { afterThisTurn, invalidOption, systemClock } from '@malote/outbox-core/adapter'
import type { ChannelModel } from 'amqplib'

/** Opens a connection to the broker; called again after each loss. */
export type Connect = () => Promise<ChannelModel>

/** A connection we opened and watch. */
export interface LiveConnection {
  readonly model: ChannelModel
  /** Aborts when the connection is gone, with the reason. */
  readonly lost: AbortSignal
  /** Why the broker reads nothing from us (it is short of memory or disk), or null. */
  blockedReason(): string | null
  /** When the broker last answered, on the monotonic clock. */
  heardAtMs(): number
  /** Notes an answer of the broker. */
  heard(): void
  /** Call it before a frame is sent: what else is sent in this turn of the event loop leaves with it, in one system call and not in one each. */
  gather(): void
  /** Closes it in order, or by force when the broker does not answer. Never rejects. */
  discard(): Promise<void>
}

/** Longest wait for the closing handshake, in milliseconds: a dead peer never answers, and nothing of ours is waiting any more. */
export const closeTimeoutMs = 1_000

/** @throws whatever `connect` throws, and OutboxError `INVALID_OPTION` when the client would connect again by itself */
export async function openConnection(connect: Connect): Promise<LiveConnection> {
  const model = await connect()
  if (recovers(model)) {
    void model.close().catch(() => {}) // It is not used.
    throw invalidOption(
      'connect',
      "a connection with amqplib's recovery",
      'a plain connection: a recovered channel forgets what was confirmed and what was acknowledged, so this adapter connects again itself. Leave "recovery" out',
    )
  }
  const lost = new AbortController()
  let failure: unknown
  let blocked: string | null = null
  let heardAtMs = systemClock.monotonicMs()
  model.on('error', (error: Error) => (failure = error))
  model.on('close', (error?: Error) => lost.abort(failure ?? error ?? new Error('the connection was closed')))
  model.on('blocked', (reason: string) => {
    blocked = reason
    heardAtMs = systemClock.monotonicMs()
  })
  model.on('unblocked', () => (blocked = null))
  return {
    model,
    lost: lost.signal,
    blockedReason: () => blocked,
    heardAtMs: () => heardAtMs,
    heard: () => {
      heardAtMs = systemClock.monotonicMs()
    },
    gather: gatherer(model),
    discard: async () => {
      const closed = model.close().catch(() => {}) // Already closed, or closing fails: the socket goes next.
      await Promise.race([closed, systemClock.sleep(closeTimeoutMs, lost.signal)])
      destroySocket(model)
    },
  }
}

/** A mistake in the options, which no waiting mends. */
export function isInvalidOption(error: unknown): boolean {
  return error instanceof OutboxError && error.code === 'INVALID_OPTION'
}

function recovers(model: ChannelModel): boolean {
  return 'waitForConnect' in model
}

/** amqplib hands its socket one frame after the other, in an immediate that it sets once the turn is over; after that one they may leave. */
function gatherer(model: ChannelModel): () => void {
  const { stream } = model.connection as { readonly stream?: { cork?(): void; uncork?(): void } }
  let gathers = false
  const leave = (): void => {
    gathers = false
    stream?.uncork?.()
  }
  return () => {
    if (gathers) return
    gathers = true
    stream?.cork?.()
    afterThisTurn(() => afterThisTurn(leave))
  }
}

/** amqplib only ever ends its socket politely, and a peer that is gone, or blocks us, keeps such a socket open. */
function destroySocket(model: ChannelModel): void {
  const { stream } = model.connection as { readonly stream?: { destroy?(): void } }
  stream?.destroy?.()
}
