import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/idempotency')

export const mutants: readonly Mutant[] = [
  ...of('frameworks/around.ts', 'drop-in.pg.test.ts', [
    ['a framework is asked to run its handler twice', 'once', 'retryConflicts: false', 'retryConflicts: true'],
  ]),
  ...of('frameworks/captured-response.ts', 'captured-response.test.ts', [
    [
      'another answer carries headers of what it replaces',
      'confidential',
      'for (const name of response.getHeaderNames()) response.removeHeader(name)\n',
      '',
    ],
    [
      'a framework that has answered is told it has not',
      'replayed',
      'writableEnded: getter(() => hasEnded)',
      'writableEnded: getter(() => false)',
    ],
  ]),
  ...of('frameworks/nest.ts', 'nest.pg.test.ts', [
    [
      'a replay is an error to exception filters',
      'replayed',
      'if (!isHandled && !isResponseHandled(context)) await letPass(subscriber, captured)',
      'if (!isHandled && !isResponseHandled(context)) await Promise.resolve()',
    ],
  ]),
  ...of('frameworks/peek-body.ts', 'hostile-client.pg.test.ts', [
    [
      'a body counts as whole once it has begun to arrive',
      'confidential',
      'if (!raw.complete && size <= limit) return undefined',
      'if (!raw.complete && size === 0) return undefined',
    ],
  ]),
  ...of('frameworks/written-response.ts', 'captured-response.test.ts', [
    [
      'a body is stored in a coding that a retry may not accept',
      'replayed',
      "(decoded === body && body !== null && coding !== 'identity')",
      'false',
    ],
  ]),
]
