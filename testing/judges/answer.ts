import type { Ended } from '../mutants/copy.ts'
import type { PlantedForJudges } from './planted-faults.ts'

/** What a judge says when it is asked. */
export interface Answer {
  /** `broken`: it ended without a word for or against. That says nothing of the promise. */
  readonly kind: 'holds' | 'objects' | 'not-run' | 'hangs' | 'broken'
  readonly words: string
}

export function answerOf({ exitCode, told }: Ended): Answer {
  const lineThat = (pattern: RegExp): string => pattern.exec(told)?.[0] ?? ''
  const notRun = lineThat(/^NOT RUN .*$/m)
  if (notRun !== '') return { kind: 'not-run', words: notRun }
  if (exitCode === null) return { kind: 'hangs', words: told.slice(-2_000) }
  if (lineThat(/^WRONG /m) !== '') return { kind: 'objects', words: told }
  const held = lineThat(/^ok .*$/m)
  if (exitCode === 0 && held !== '') return { kind: 'holds', words: held }
  return { kind: 'broken', words: told.slice(-2_000) }
}

/** Whether the judge says no, and says it of what the fault breaks. */
export function isRefusal({ kind, words }: Answer, fault: Pick<PlantedForJudges, 'case' | 'says'>): boolean {
  return kind === 'objects' && words.includes(fault.case ?? '') && fault.says.test(words)
}

/** The objection itself, with a little of what stands around it. */
export function objectionOf({ words }: Answer, { says }: Pick<PlantedForJudges, 'says'>): string {
  const { index = 0, 0: found = '' } = says.exec(words) ?? {}
  return words
    .slice(Math.max(0, index - 80), index + found.length + 80)
    .replaceAll(/\s+/g, ' ')
    .trim()
}
