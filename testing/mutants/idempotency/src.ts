import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/idempotency')

export const mutants: readonly Mutant[] = [
  ...of('client.ts', 'client.test.ts', [
    [
      'a retry carries another key',
      'replayed',
      'headers.set(keyHeader, `"${idempotencyKey}"`)\n    for (let attempt = 1; ; attempt++) {',
      'for (let attempt = 1; ; attempt++) {\n      headers.set(keyHeader, `"${idempotencyKey}${String(attempt)}"`)',
    ],
    [
      'a 409 without a time is repeated',
      'bounded',
      'if (response.status === 409 || response.status === 429) return named',
      'if (response.status === 409 || response.status === 429) return named ?? jitter(attempt)',
    ],
    ['attempts have no end', 'bounded', 'attempt >= maxAttempts || ', ''],
  ]),
]
