import type { MessageName, Settles } from '../postgres/settles.ts'
import type { Settler } from './settle.ts'

export interface TrialParts {
  readonly writes: Pick<Settles, 'markTrial'>
  readonly settler: Pick<Settler, 'idle'>
  /** The names could not be written down: the session is over. */
  readonly onLost: (reason: 'lease-expired' | 'connection-lost', cause: unknown) => void
}

/** The names of the messages that this relay publishes with nothing beside them, for whoever finds the relay dead. */
export interface Trial {
  /** @returns false when it could not be written down: do not publish */
  begin(messages: readonly MessageName[]): Promise<boolean>
  /** Waits until their end is settled, so that nothing is charged to them any more. */
  end(): Promise<void>
}

/** Writes the names on the relay's own row. A successor that deletes the row notes the death on them in the same transaction. */
export function createTrial({ writes, settler, onLost }: TrialParts): Trial {
  async function mark(messages: readonly MessageName[] | null): Promise<boolean> {
    try {
      if (await writes.markTrial(messages)) return true
      onLost('lease-expired', new Error('the lease ran out before a message was published'))
    } catch (error) {
      onLost('connection-lost', error)
    }
    return false
  }

  return {
    begin: mark,
    end: async () => {
      await settler.idle()
      await mark(null)
    },
  }
}
