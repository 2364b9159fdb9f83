import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Answer } from './benchmark.ts'
import type { Environment } from './environment.ts'

/** An answer as it is kept beside the page that shows it: one line of JSON for each question. */
export interface KeptAnswer {
  readonly name: string
  readonly question: string
  readonly answer: Answer
  readonly environment: Environment
  readonly command: string
  readonly commit: string
}

/** Those that are kept in `file`, in its order; none when there is no such file. */
export function readAnswers(file: URL): readonly KeptAnswer[] {
  if (!existsSync(file)) return []
  return parseAnswers(readFileSync(file, 'utf8'))
}

/** Keeps an answer in place of the one that this question had. */
export function keepAnswer(file: URL, kept: KeptAnswer): void {
  const others = readAnswers(file).filter(({ name }) => name !== kept.name)
  const all = [...others, kept].toSorted((a, b) => (a.name < b.name ? -1 : 1))
  writeFileSync(file, answersText(all))
}

export function parseAnswers(text: string): readonly KeptAnswer[] {
  const revive = (_key: string, value: unknown): unknown => (value === notANumber ? Number.NaN : value)
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line, revive) as KeptAnswer)
}

export function answersText(answers: readonly KeptAnswer[]): string {
  const replace = (_key: string, value: unknown): unknown => (Number.isNaN(value) ? notANumber : value)
  return answers.map((kept) => `${JSON.stringify(kept, replace)}\n`).join('')
}

/** JSON has no word for it, and a ratio to a contestant that brought nothing through is one. */
const notANumber = 'NaN'
