import { type Clock } from '@malote/outbox-core/adapter'
import type { KafkaConsumer, TopicPartition } from './client.ts'

/** A place in a partition that may be committed. */
export interface Position extends TopicPartition {
  readonly offset: bigint
}

/** Commits positions as they move: one commit at a time, each with everything that moved meanwhile. */
export interface Committer {
  /** Something moved. */
  moved(): void
  /** Resolves when everything that had moved was committed, or a commit failed. */
  flush(): Promise<void>
}

/** Pause after a commit failed, in milliseconds: a rebalance is over by then, mostly. */
const retryMs = 1_000

/** @param positions - what has moved and is ours to commit at this moment */
export function createCommitter(
  consumer: Pick<KafkaConsumer, 'commitOffsets'>,
  positions: () => readonly Position[],
  committed: (positions: readonly Position[]) => void,
  clock: Clock,
): Committer {
  let running: Promise<boolean> | null = null
  let retryPlanned = false

  async function commitAll(): Promise<boolean> {
    for (;;) {
      const moved = positions()
      if (moved.length === 0) return true
      try {
        await consumer.commitOffsets(moved.map((position) => ({ ...position, offset: String(position.offset) })))
        committed(moved)
      } catch {
        // The group is changing or its coordinator is away. What is not committed is delivered again at the worst; what another
        // member took over since is no longer among the positions.
        return false
      }
    }
  }

  function start(): Promise<boolean> {
    running ??= commitAll().finally(() => {
      running = null
    })
    return running
  }

  async function commitOrRetry(): Promise<void> {
    if (retryPlanned || (await start())) return
    retryPlanned = true
    clock.after(retryMs, () => {
      retryPlanned = false
      void commitOrRetry()
    })
  }

  return {
    moved: () => void commitOrRetry(),
    flush: async () => {
      await running
      await start()
    },
  }
}
