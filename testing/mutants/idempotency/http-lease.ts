import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/idempotency')

export const mutants: readonly Mutant[] = [
  ...of('http/lease/completer.ts', 'completer.pg.test.ts', [
    ['a completer takes what saved nothing', 'once', ' && key.recovery !== null', ''],
    ['a completer takes another operation’s keys', 'once', ' && key.operation === options.operation', ''],
    [
      'a completion that failed counts as one',
      'delivered',
      "!isCompleted && fateOf(result) !== 'undo'",
      '!isCompleted',
    ],
  ]),
  ...of('http/lease/lease.ts', 'survivors.pg.test.ts', [
    [
      'a handler with "hold" that answers 5xx may be tried again',
      'once',
      "const mayGoOn = lease.onLeaseExpired !== 'hold'",
      'const mayGoOn = true',
    ],
  ]),
  ...of('http/lease/renew-lease.ts', 'survivors.pg.test.ts', [
    [
      'a heartbeat that reaches nobody never gives up',
      'owned',
      'lost = renewed === false || monotonicMs() > safeUntil',
      'lost = renewed === false',
    ],
  ]),
  ...of('http/lease/stores/postgres-lease-store.ts', 'lost-claim.pg.test.ts', [
    [
      'a claim that was rolled back is taken for held',
      'replayed',
      "if (answer.rows[0]?.['is_held'] === true) return true",
      'if (answer.rows.length > 0) return true',
    ],
    [
      'a lost claim is claimed again, beside itself',
      'replayed',
      "if (answer.rows[0]?.['is_held'] === true) return true",
      "if (answer.rows[0]?.['is_held'] === true) return false",
    ],
  ]),
]
