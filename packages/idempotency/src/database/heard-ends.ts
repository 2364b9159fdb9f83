/** What PostgreSQL has said of the transactions of a connection, since somebody listens. */
export interface HeardEnds {
  /** How many it has begun. */
  begun: number
  /** How many may have ended: a ROLLBACK TO SAVEPOINT is answered as a ROLLBACK is. */
  ended: number
}

/** The part of a `pg` client that tells what each statement was answered. Others have none, and nothing is heard of them. */
interface Telling {
  readonly connection?: object & {
    on?(event: 'commandComplete', listener: (answer: { readonly text?: string }) => void): unknown
  }
}

const heard = new WeakMap<object, HeardEnds>()

/**
 * PostgreSQL names the statement in each answer, a COMMIT too, whoever has sent it and along with what: listening costs nothing, where asking
 * costs a statement. Whoever relies on it makes sure that his own BEGIN was heard.
 */
export function heardEnds(client: object): HeardEnds {
  const { connection } = client as Telling
  const known = connection === undefined ? undefined : heard.get(connection)
  if (known !== undefined) return known
  const ends: HeardEnds = { begun: 0, ended: 0 }
  if (connection !== undefined) heard.set(connection, ends)
  connection?.on?.('commandComplete', ({ text }) => {
    if (text === 'BEGIN' || text === 'START TRANSACTION') ends.begun++
    else if (text === 'COMMIT' || text === 'ROLLBACK' || text === 'PREPARE TRANSACTION') ends.ended++
  })
  return ends
}
