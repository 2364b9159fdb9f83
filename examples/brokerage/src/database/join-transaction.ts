import { Kysely, PostgresAdapter, PostgresDriver, PostgresQueryCompiler } from 'kysely'
import type pg from 'pg'
import type { Tables, Tx } from './database.ts'

/** Begins and ends nothing: somebody else does. Nobody can roll back here: a `Tx` has no method for it. */
class JoiningDriver extends PostgresDriver {
  override async beginTransaction(): Promise<void> {}
  override async commitTransaction(): Promise<void> {}
}

/**
 * Runs `work` in a transaction that was begun on this client by somebody who will also end it, and gives it to `work` as Kysely's.
 *
 * The libraries begin and end a transaction of a `pg` pool in fewer round trips than one of Kysely's: BEGIN and their first statement
 * leave together, and so do their last one and COMMIT.
 */
export async function joinTransaction<Result>(
  client: pg.PoolClient,
  work: (tx: Tx) => Promise<Result>,
): Promise<Result> {
  const borrowed = { query: client.query.bind(client), release: () => {} }
  const db = new Kysely<Tables>({
    dialect: {
      createDriver: () => new JoiningDriver({ pool: { connect: async () => borrowed, end: async () => {} } as never }),
      createAdapter: () => new PostgresAdapter(),
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createIntrospector: () => {
        throw new Error('a transaction that was joined is not for looking at schemas')
      },
    },
  })
  const tx = await db.startTransaction().execute()
  try {
    return await work(tx)
  } finally {
    // Sends nothing. Whoever has kept `tx` is refused from here on.
    await tx.commit().execute()
  }
}
