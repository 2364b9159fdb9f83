import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { Answer, Benchmark } from './benchmark.ts'
import type { Environment } from './environment.ts'
import { plot } from './plot.ts'
import { markdownTable, round, tableRows } from './table.ts'

const page = new URL('../../docs/performance.md', import.meta.url)
const plots = new URL('../../docs/performance/', import.meta.url)

/** What is between these lines of the page is written here; the rest is written by people. */
const begin = '<!-- results: written by `npm run bench -- --write-docs` -->'
const end = '<!-- end of results -->'

export interface Results {
  readonly environment: Environment
  readonly command: string
  readonly questions: readonly Benchmark[]
  readonly answers: ReadonlyMap<string, Answer>
}

/** Writes the results into docs/performance.md and a plot for each question beside it. */
export async function writeDocs(results: Results): Promise<void> {
  mkdirSync(plots, { recursive: true })
  for (const { name, question } of results.questions) {
    const answer = results.answers.get(name)
    if (answer !== undefined) writeFileSync(new URL(`${name}.svg`, plots), `${await plot(question, answer)}\n`)
  }
  const text = readFileSync(page, 'utf8')
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`docs/performance.md lacks the line "${begin}" or "${end}"`)
  writeFileSync(page, `${text.slice(0, from)}${begin}\n\n${markdown(results)}\n${text.slice(to)}`)
}

function markdown({ environment, command, questions, answers }: Results): string {
  const rows = [...answers].flatMap(([name, answer]) => tableRows(name, answer))
  return [
    `Measured with \`${command}\`:`,
    '',
    ...Object.entries(environment).map(([name, value]) => `- ${name}: ${value}`),
    '',
    markdownTable(rows),
    '',
    ...questions.flatMap((question) => section(question, answers.get(question.name))),
  ].join('\n')
}

function section({ name, question }: Benchmark, answer: Answer | undefined): string[] {
  if (answer === undefined) return []
  return [
    `### ${name}`,
    '',
    question,
    '',
    `![${question}](performance/${name}.svg)`,
    '',
    ...Object.entries(answer.figures).map(
      ([contestant, { median, min, max, unit }]) =>
        `- ${contestant}: ${round(median)} ${unit}${min === max ? '' : ` (${round(min)} … ${round(max)})`}`,
    ),
    '',
    ...(answer.notes ?? []).flatMap((note) => [note, '']),
  ]
}
