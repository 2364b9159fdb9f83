import type { RelayStatements } from '../postgres/relay-statements.ts'
import type { BufferedMessage } from './buffer.ts'
import type { Connection } from './connections.ts'
import type { Settler } from './settle.ts'

export interface TrialParts {
  readonly connection: Connection
  readonly statements: RelayStatements
  readonly relayId: string
  readonly settler: Pick<Settler, 'idle'>
  /** The name could not be written down: the session is over. */
  readonly onLost: (reason: 'lease-expired' | 'connection-lost', cause: unknown) => void
}

/** The name of the one message that this relay publishes alone, for whoever finds the relay dead. */
export interface Trial {
  /** @returns false when it could not be written down: do not publish */
  begin(message: BufferedMessage): Promise<boolean>
  /** Waits until the message's end is settled, so that nothing is charged to it any more. */
  end(): Promise<void>
}

/** Writes the name on the relay's own row. A successor that deletes the row charges the message in the same transaction. */
export function createTrial({ connection, statements, relayId, settler, onLost }: TrialParts): Trial {
  async function mark(...name: [lane: number, seq: number, id: string] | [null, null, null]): Promise<boolean> {
    try {
      const { rows } = await connection.queryReadCommitted(statements.markTrial, [relayId, ...name])
      if (rows.length === 1) return true
      onLost('lease-expired', new Error('the lease ran out before a message was published'))
    } catch (error) {
      onLost('connection-lost', error)
    }
    return false
  }

  return {
    begin: ({ lane, seq, message }) => mark(lane, seq, message.id),
    end: async () => {
      await settler.idle()
      await mark(null, null, null)
    },
  }
}
