import { globSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Row } from './benchmark.ts'
import { answersText, type KeptAnswer, parseAnswers, readAnswers } from './kept-answers.ts'
import { blocksOf, renderPage, summaryNames, winnerOf } from './page.ts'
import { atLeast, atMost, outrun, ratioRow, undercut } from './statistics.ts'

const root = new URL('../../', import.meta.url)
const page = readFileSync(new URL('docs/performance.md', root), 'utf8')
const kept = readAnswers(new URL('docs/performance/answers.jsonl', root))
const questions = globSync('bench/questions/*.ts', { cwd: root }).flatMap((path) =>
  [...readFileSync(new URL(path, root), 'utf8').matchAll(/^ {2,}name: '([\w-]+)',\n {2,}question:/gm)].map(
    ([, name = '']) => name,
  ),
)

const machine = { cpu: 'one', node: 'v24' }
const anAnswer = (name: string, rows: readonly Row[], on = machine): KeptAnswer => ({
  name,
  question: `How fast is ${name}?`,
  answer: {
    figures: { malote: { median: 1234.5, min: 1000, max: 2000, unit: 'messages/s' } },
    rows,
    runs: 5,
    notes: ['A note.'],
  },
  environment: { date: '2026-11-29T21:40:00.000Z', load: '0.10 0.20 0.30', machine: on },
  command: 'npm run bench -- --write-docs',
  commit: 'abc1234',
})
const spread = (median: number, min = median, max = median) => ({ median, min, max })

describe('the page of the benchmarks', () => {
  it('has a place for each question, and each place once', () => {
    expect(questions.length).toBeGreaterThan(25)
    expect(blocksOf(page).toSorted()).toEqual([...questions, ...summaryNames].toSorted())
  })

  it('shows what was measured, and nothing that somebody has written into those places', () => {
    expect(renderPage(page, kept)).toBe(page)
  })

  it('keeps no answer to a question that is not asked any more', () => {
    expect(kept.map(({ name }) => name).filter((name) => !questions.includes(name))).toEqual([])
  })
})

describe('rendering', () => {
  const text = ['verdicts', 'who-wins', 'machine', 'drain', 'idle']
    .map((name) => `before ${name}\n<!-- bench: ${name} -->\n<!-- /bench -->\n`)
    .join('')
  const drain = anAnswer('drain', [
    ratioRow('pg-boss', 'drain ÷ pg-boss', spread(3.5, 3, 4), atLeast(3), outrun('pg-boss')),
    ratioRow('river', 'drain ÷ river', spread(1.9, 0.9, 2.5), atLeast(2), outrun('River')),
  ])

  it('shows a question with its figures, its verdicts, its date, its commit and its command', () => {
    const rendered = renderPage(text, [drain])

    expect(rendered).toContain('| drain ÷ pg-boss | ≥ 3× | **3.5×** | 3× … 4× | met |')
    expect(rendered).toContain('| malote | 1,230 messages/s | 1,000 … 2,000 |')
    expect(rendered).toContain('- A note.')
    expect(rendered).toContain('Measured on 29 November 2026, 5 rounds')
    expect(rendered).toContain('commit `abc1234`: `npm run bench -- --write-docs`')
    expect(rendered).toContain('before idle')
    expect(rendered).toContain('Not measured yet: `npm run bench -- idle --write-docs`')
  })

  it('counts the questions of a run that asked many', () => {
    const command = 'npm run bench -- drain two-relays idle cpu --rounds 3 --write-docs'
    const rendered = renderPage(text, [{ ...drain, command }])

    expect(rendered).toContain('commit `abc1234`: `npm run bench -- …`, 4 questions.')
  })

  it('counts the targets and names the missed ones', () => {
    const rendered = renderPage(text, [drain])

    expect(rendered).toContain('**1 of 2** targets are met')
    expect(rendered).toContain('| [drain](#drain) | drain ÷ river | ≥ 2× | **1.9×** |')
  })

  it('changes nothing but the question that was asked again', () => {
    const before = renderPage(text, [drain, anAnswer('idle', [])])
    const after = renderPage(before, [drain, { ...anAnswer('idle', []), commit: 'def5678' }])

    expect(after).not.toBe(before)
    expect(after.replace('def5678', 'abc1234')).toBe(before)
  })

  it('tells machines apart', () => {
    expect(renderPage(text, [drain, anAnswer('idle', [])])).not.toContain('- questions:')
    expect(renderPage(text, [drain, anAnswer('idle', [], { cpu: 'two', node: 'v24' })])).toContain('- questions: idle')
  })
})

it.each([
  ['we', outrun('them'), spread(2, 1.5, 3)],
  ['they', outrun('them'), spread(0.5, 0.4, 0.9)],
  ['neither', outrun('them'), spread(1.2, 0.9, 1.5)],
  ['we', undercut('them'), spread(0.5, 0.4, 0.9)],
  ['they', undercut('them'), spread(2, 1.5, 3)],
  ['not known', outrun('them'), spread(Number.NaN)],
] as const)('the winner is %s where %o comes to %o', (winner, rival, value) => {
  expect(winnerOf(ratioRow('', '', value, null, rival))).toBe(winner)
})

it('an answer is kept as it is, with what is not a number', () => {
  const answer = anAnswer('drain', [ratioRow('pg-boss', '', spread(Number.NaN), atMost(2), undercut('pg-boss'))])

  expect(parseAnswers(answersText([answer]))).toEqual([answer])
})
