import type { Row } from './benchmark.ts'
import type { KeptAnswer } from './kept-answers.ts'
import { markdownTable, round, show, spreadText, tableRows, verdictOf } from './table.ts'

/** What stands between such lines of docs/performance.md is written here; the rest of the page is written by people. */
const block = /<!-- bench: ([\w-]+) -->\n[^]*?<!-- \/bench -->/g

/** Blocks of no single question. */
const summaries: Readonly<Record<string, (answers: readonly KeptAnswer[]) => string>> = {
  verdicts,
  'who-wins': whoWins,
  machine: machines,
}

/** The names of the blocks of a page: those of its questions, and of what is said of all of them. */
export function blocksOf(text: string): readonly string[] {
  return [...text.matchAll(block)].map(([, name = '']) => name)
}

export const summaryNames: readonly string[] = Object.keys(summaries)

/** The page with every block as the answers have it. */
export function renderPage(text: string, answers: readonly KeptAnswer[]): string {
  const order = blocksOf(text)
  const inOrder = answers.toSorted((a, b) => order.indexOf(a.name) - order.indexOf(b.name))
  return text.replace(
    block,
    (_, name: string) => `<!-- bench: ${name} -->\n\n${content(name, inOrder)}\n\n<!-- /bench -->`,
  )
}

function content(name: string, answers: readonly KeptAnswer[]): string {
  const summary = summaries[name]
  if (summary !== undefined) return summary(answers)
  const kept = answers.find((answer) => answer.name === name)
  return kept === undefined
    ? `### ${name}\n\nNot measured yet: \`npm run bench -- ${name} --write-docs\`.`
    : section(kept)
}

function section(kept: KeptAnswer): string {
  const { name, question, answer } = kept
  const spread = (min: number, max: number): string => (min === max ? '–' : `${round(min)} … ${round(max)}`)
  const contestants = Object.entries(answer.figures).map(([contestant, { median, min, max, unit }]) => [
    contestant,
    `${round(median)} ${unit}`,
    spread(min, max),
  ])
  return [
    `### ${name}`,
    question,
    markdownTable(
      ['comparison', 'target', 'figure', 'spread', 'verdict'],
      tableRows(name, answer).map((row) => [row.comparison, row.target, `**${row.figure}**`, row.spread, row.verdict]),
    ),
    ...(contestants.length === 0
      ? []
      : [
          `![${question}](performance/${name}.svg)`,
          markdownTable(['measured', 'median', 'smallest … largest'], contestants),
        ]),
    ...(answer.notes === undefined ? [] : [answer.notes.map((note) => `- ${note}`).join('\n')]),
    `Measured on ${dayOf(kept)}, ${String(answer.runs)} ${answer.runs === 1 ? 'round' : 'rounds'}, load ${loadOf(kept)} at the start, commit \`${kept.commit}\`: ${commandOf(kept)}. Again: \`npm run bench -- ${name}\`.`,
  ].join('\n\n')
}

/** Of a run that asked many questions their number says enough. */
function commandOf({ command }: KeptAnswer): string {
  // Neither flags and numbers, nor `npm run bench`.
  const names = command
    .split(' ')
    .filter((word) => /^[a-z]+(-[a-z]+)*$/.test(word))
    .slice(3)
  return names.length > 3 ? `\`npm run bench -- …\`, ${String(names.length)} questions` : `\`${command}\``
}

const dayOf = ({ environment: { date } }: KeptAnswer): string =>
  new Date(date).toLocaleDateString('en-GB', { day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' })

const loadOf = ({ environment }: KeptAnswer): string => environment.load.split(' ')[0] ?? environment.load

const linkTo = (name: string): string => `[${name}](#${name})`

/** What was missed, row by row: what was met stands under its question. */
function verdicts(answers: readonly KeptAnswer[]): string {
  const judged = answers.flatMap(({ name, answer }) =>
    answer.rows.filter(({ target }) => target !== null).map((row) => ({ name, row })),
  )
  const missed = judged.filter(({ row }) => verdictOf(row) === 'missed')
  const count = `**${String(judged.length - missed.length)} of ${String(judged.length)}** targets are met (\`npm run bench\`).`
  if (missed.length === 0) return count
  const rows = missed.map(({ name, row }) => [
    linkTo(name),
    row.label,
    row.target?.text ?? '',
    `**${show(row.value.median, row)}**`,
    spreadText(row.value, row),
  ])
  return [`${count} Missed:`, markdownTable(['question', 'what', 'target', 'figure', 'spread'], rows)].join('\n\n')
}

function whoWins(answers: readonly KeptAnswer[]): string {
  const rows = answers.flatMap(({ name, answer }) =>
    answer.rows
      .filter(({ rival }) => rival !== undefined)
      .map((row) => [
        linkTo(name),
        row.rival?.name ?? '',
        `${row.label}${row.rival?.better === 'less' ? ' (less is better)' : ''}`,
        `**${show(row.value.median, row)}**`,
        spreadText(row.value, row),
        winnerOf(row),
      ]),
  )
  return markdownTable(['question', 'beside', 'what', 'ours ÷ theirs', 'spread', 'faster'], rows)
}

/** Who is faster in every round; nobody where the rounds disagree. */
export function winnerOf({ value: { min, max }, rival }: Row): 'we' | 'they' | 'neither' | 'not known' {
  if (Number.isNaN(min) || rival === undefined) return 'not known'
  if (min <= 1 && max >= 1) return 'neither'
  return min > 1 === (rival.better === 'more') ? 'we' : 'they'
}

/** One list for each machine that was measured on, in the order of its first answer. */
function machines(answers: readonly KeptAnswer[]): string {
  const byMachine = Map.groupBy(answers, ({ environment }) => JSON.stringify(environment.machine))
  return [...byMachine.values()]
    .map((group) => {
      const { machine } = (group[0] as KeptAnswer).environment
      const of = byMachine.size === 1 ? [] : [`- questions: ${group.map(({ name }) => name).join(', ')}`]
      return [...of, ...Object.entries(machine).map(([name, value]) => `- ${name}: ${value}`)].join('\n')
    })
    .join('\n\n')
}
