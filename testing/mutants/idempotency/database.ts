import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/idempotency')

export const mutants: readonly Mutant[] = [
  ...of('database/pool-transaction.ts', 'inbox-own-commit.pg.test.ts', [
    [
      'a transaction that an end was heard of commits unasked',
      'once',
      'check === null || isQuiet ? last',
      'check === null || ends.begun > begun ? last',
    ],
    ['a connection that tells nothing is taken for one on which nothing ended', 'once', 'ends.begun > begun && ', ''],
    [
      'an end that nobody has waited for is not found out',
      'once',
      'if (check !== null && isQuiet && ends.ended !== ended + 1) throw endedByHandler()',
      '',
    ],
  ]),
  ...of('database/pool-transaction.ts', 'replay-end.pg.test.ts', [
    [
      'a connection is given back in a transaction that has not ended',
      'owned',
      "void succeeds(client, 'commit').then((hasEnded) => client.release(!hasEnded))",
      "void succeeds(client, 'commit')\n      client.release(false)",
    ],
  ]),
  ...of('database/pool-transaction.ts', 'survivors.pg.test.ts', [
    [
      'a handler that commits by itself is not told',
      'once',
      "if (client.getTransactionStatus?.() === 'I')",
      'if (false)',
    ],
  ]),
  ...of('database/transaction.ts', 'survivors.pg.test.ts', [
    [
      'a connection that is lost while a Kysely commits says that nothing happened',
      'once',
      'return await Promise.race([done, late.promise])\n  } catch (error) {\n    throw committing ? explainCommit(error) : error',
      'return await Promise.race([done, late.promise])\n  } catch (error) {\n    throw error',
    ],
  ]),
]
