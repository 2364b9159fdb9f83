import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/outbox-core')

/** Sessions, lanes, maintenance and what is checked before the first read. */
export const mutants: readonly Mutant[] = [
  ...of('relay/check-schema.ts', 'foreign-database.pg.test.ts', [
    [
      'a sequence beyond what JavaScript can count is taken',
      'refused',
      'const highestSeq = 8e15',
      'const highestSeq = 8e18',
    ],
  ]),
  ...of('relay/control-loop.ts', 'statement-counts.pg.test.ts', [
    [
      'who takes lanes over reads all held keys twice',
      'bounded',
      'this.#heldVersion !== null && heldVersion',
      'heldVersion',
    ],
    ['a key of many that plain SQL lets go is not heard of', 'bounded', 'return isChanged', 'return false'],
    [
      'who takes lanes over waits until all held keys are counted',
      'bounded',
      'this.#looks++ % looksAtHeld === 1',
      'this.#looks++ % looksAtHeld === 0',
    ],
  ]),
  ...of('relay/control-loop.ts', 'foreign-database.pg.test.ts', [
    [
      'lanes that a truncate took stay away',
      'delivered',
      'if (look.missing > 0) await',
      'if (look.missing > 64) await',
    ],
  ]),
  ...of('relay/examine.ts', 'race/pooler.pg.test.ts', [
    [
      'behind a pooler the timeouts of the role count',
      'delivered',
      ' else for (const connection of all) prepareStatements(connection, databaseTimeoutMs)',
      '',
    ],
  ]),
  ...of('relay/lanes.ts', 'relay/lanes.test.ts', [
    [
      'a leaving lane is still read and sent from',
      'owned',
      'found !== undefined && found.isReady && !found.isLeaving',
      'found !== undefined && found.isReady',
    ],
  ]),
  ...of('relay/maintenance.ts', 'retention.pg.test.ts', [
    ['a purge deletes all at once', 'bounded', 'const rowsOfStep = 100', 'const rowsOfStep = 100_000'],
    ['a task is not due for others while one does it', 'bounded', 'const claimMs = 600_000', 'const claimMs = 0'],
  ]),
  ...of('relay/resolved-options.ts', 'relay/foreign-input.test.ts', [
    [
      'an afterDeadLetter that throws is not caught',
      'delivered',
      '      problem = wordsOf(error)\n',
      '      throw error\n',
    ],
    [
      'an afterDeadLetter that says Hold skips',
      'ordered',
      'if (choice === careful || choice === other) return choice as Word',
      'return choice === careful ? careful : other',
    ],
  ]),
  ...of('relay/resolved-options.ts', 'foreign-database.pg.test.ts', [
    ['a pool that is too small is taken', 'refused', 'max < neededConnections', 'max < 1'],
  ]),
  ...of('relay/session.ts', 'race/black-hole.pg.test.ts', [
    [
      'stop waits for a database that is silent',
      'bounded',
      'clock.after(graceMs + settleGraceMs,',
      'clock.after(graceMs + settleGraceMs * 100,',
    ],
  ]),
]
