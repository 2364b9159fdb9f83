import type { Answer, Row, Spread } from './benchmark.ts'
import { isMet } from './statistics.ts'

/** The cells of one row of the table, for the terminal and for the documentation. */
export interface TableRow {
  readonly benchmark: string
  readonly comparison: string
  readonly target: string
  readonly figure: string
  readonly spread: string
  readonly verdict: 'met' | 'missed' | 'shown'
}

export function tableRows(name: string, answer: Answer): TableRow[] {
  return answer.rows.map((row) => ({
    benchmark: name,
    comparison: row.label,
    target: row.target?.text ?? '–',
    figure: show(row.value.median, row),
    spread: spreadText(row.value, row),
    verdict: verdictOf(row),
  }))
}

/** A row without a target is shown for comparison only. */
export function verdictOf(row: Row): TableRow['verdict'] {
  if (row.target === null) return 'shown'
  return isMet(row.target, row.value.median) ? 'met' : 'missed'
}

/** From the smallest to the largest of the rounds. */
export function spreadText(value: Spread, row: Row): string {
  return value.min === value.max ? '–' : `${show(value.min, row)} … ${show(value.max, row)}`
}

/** A value of the row, with its unit. */
export function show(value: number, { kind, unit }: Row): string {
  if (kind === 'figure') return `${round(value)} ${unit ?? ''}`.trim()
  return unit === '%' ? `${round(100 * value)} %` : `${round(value)}×`
}

/** Three significant digits, with thousands apart: more would pretend to a precision no benchmark has. */
export function round(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  return Number(value.toPrecision(3)).toLocaleString('en-US', { maximumFractionDigits: 4 })
}

const columns = ['benchmark', 'comparison', 'target', 'figure', 'spread', 'verdict'] as const

export function plainTable(rows: readonly TableRow[]): string {
  const lines = [Object.fromEntries(columns.map((column) => [column, column])) as unknown as TableRow, ...rows]
  const widths = columns.map((column) => Math.max(...lines.map((line) => line[column].length)))
  return lines
    .map((line) =>
      columns
        .map((column, i) => line[column].padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
