import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/outbox-core')

export const mutants: readonly Mutant[] = [
  ...of('cli/purge.ts', 'fuzz-command-line.test.ts', [
    [
      'a purge is noted as begun, and refused behind it',
      'refused',
      "if (only === 'inbox' && !(",
      "if (only === 'archive' && !(",
    ],
  ]),
  ...of('cli/values.ts', 'fuzz-command-line.test.ts', [
    [
      'a number of the command line may be written in any way',
      'refused',
      'form.test(text) && value >= least',
      'value >= least',
    ],
  ]),
]
