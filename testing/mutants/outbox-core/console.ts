import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/outbox-core')

export const mutants: readonly Mutant[] = [
  ...of('console/console.ts', 'console/console.pg.test.ts', [
    ['a console that only shows decides', 'refused', 'if (!allowActions)', 'if (action === undefined)'],
  ]),
  ...of('console/guard.ts', 'console/guard.test.ts', [
    [
      'the console answers to a host name that was rebound',
      'confidential',
      "access !== 'loopback' || loopbackName.test(url.hostname)",
      'true',
    ],
    [
      'the console takes decisions from other pages',
      'confidential',
      'if (isOwn && (site',
      'if (origin !== undefined && (site',
    ],
  ]),
]
