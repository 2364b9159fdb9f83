import { readFileSync, writeFileSync } from 'node:fs'
import type { Benchmark } from './benchmark.ts'
import { keepAnswer, type KeptAnswer, readAnswers } from './kept-answers.ts'
import { blocksOf, renderPage } from './page.ts'
import { plot } from './plot.ts'

const page = new URL('../../docs/performance.md', import.meta.url)
const folder = new URL('../../docs/performance/', import.meta.url)
const answers = new URL('answers.jsonl', folder)

/**
 * Keeps an answer, draws its plot, and writes docs/performance.md anew from all that are kept. The figures of other questions stay as
 * they were, with their own date and commit.
 */
export async function writeDocs(
  { name, question }: Benchmark,
  found: Omit<KeptAnswer, 'name' | 'question'>,
): Promise<void> {
  const text = readFileSync(page, 'utf8')
  if (!blocksOf(text).includes(name)) throw new Error(`docs/performance.md lacks the line "<!-- bench: ${name} -->"`)
  writeFileSync(new URL(`${name}.svg`, folder), `${await plot(question, found.answer)}\n`)
  keepAnswer(answers, { name, question, ...found })
  writeFileSync(page, renderPage(text, readAnswers(answers)))
}
