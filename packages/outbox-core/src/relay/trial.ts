import type { RelayStatements } from '../postgres/relay-statements.ts'
import type { Connection } from './connections.ts'
import { identities, type Identity, type Settler } from './settle.ts'

export interface TrialParts {
  readonly connection: Connection
  readonly statements: RelayStatements
  readonly relayId: string
  readonly settler: Pick<Settler, 'idle'>
  /** The names could not be written down: the session is over. */
  readonly onLost: (reason: 'lease-expired' | 'connection-lost', cause: unknown) => void
}

/** The names of the messages that this relay publishes with nothing beside them, for whoever finds the relay dead. */
export interface Trial {
  /** @returns false when it could not be written down: do not publish */
  begin(messages: readonly Identity[]): Promise<boolean>
  /** Waits until their end is settled, so that nothing is charged to them any more. */
  end(): Promise<void>
}

/** Writes the names on the relay's own row. A successor that deletes the row notes the death on them in the same transaction. */
export function createTrial({ connection, statements, relayId, settler, onLost }: TrialParts): Trial {
  async function mark(...names: [lanes: string, seqs: string, ids: string] | [null, null, null]): Promise<boolean> {
    try {
      const { rows } = await connection.queryReadCommitted(statements.markTrial, [relayId, ...names])
      if (rows.length === 1) return true
      onLost('lease-expired', new Error('the lease ran out before a message was published'))
    } catch (error) {
      onLost('connection-lost', error)
    }
    return false
  }

  return {
    begin: (messages) => mark(...identities(messages)),
    end: async () => {
      await settler.idle()
      await mark(null, null, null)
    },
  }
}
