import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** One feature that this brokerage takes over, as a row of `seeds.md` tells of it. */
export interface Seed {
  readonly feature: string
  readonly code: string
  readonly test: string
  readonly see: string
}

export const brokerageFolder: string = fileURLToPath(new URL('../', import.meta.url))
const page = readFileSync(`${brokerageFolder}seeds.md`, 'utf8')
const [features, ...leftOut] = page.split('## Left out') as [string, ...string[]]

const cellsOf = (line: string): readonly string[] =>
  line
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim())
const rowsOf = (text: string): readonly (readonly string[])[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| feature |') && !line.startsWith('| what |'))
    .map(cellsOf)

export const seeds: readonly Seed[] = rowsOf(features).map(([feature = '', code = '', test = '', see = '']) => ({
  feature,
  code,
  test,
  see,
}))
/** What was not taken over, and why. */
export const refusals: readonly { readonly what: string; readonly why: string }[] = rowsOf(leftOut.join('')).map(
  ([what = '', why = '']) => ({ what, why }),
)

/** Paths that a piece of Markdown links to, without places elsewhere and marks inside the page. */
export const linksOf = (text: string): readonly string[] =>
  [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].flatMap(([, target = '']) => (/^\w+:/.test(target) ? [] : [target]))

/** The commands that a reader can paste. */
export const curls: readonly string[] = seeds.flatMap(({ see }) =>
  [...see.matchAll(/`(curl [^`]+)`/g)].map(([, command = '']) => command),
)
