import { globSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { chaosArguments } from './chaos/arguments.ts'

const root = new URL('../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')

const pages = ['README.md', 'packages/*/README.md', 'docs/**/*.md']
  .flatMap((pattern) => globSync(pattern, { cwd: root }))
  .filter((path) => !/node_modules|api-report|\.vitepress/.test(path))

/** What looks like a figure that somebody has measured, and not like a setting or a date. */
const figure =
  /(?<!not )\bmeasured\b|\d[\d,.]*\s?(?:messages|orders|requests|transactions|rows|calls)?\s?(?:\/s\b|a second\b|per second\b)|\bp(?:50|95|99)\b|\d\s?%|\d\s?(?:MB|GB)\b|\btook \d|\bwithin \d|\d times (?:faster|slower|as)|\d\*{0,2} (?:published|delivered|killed|passed|lost)\b/i

/** What somebody types to see the figures again. */
const command = /`[^`\n]*\b(?:npm|npx|node|pgbench)\s[^`\n]*`|^(?:npm|npx|node) .+$/m

/** Sections whose figures are no measurements: page and heading → why. */
const reckoned: Readonly<Record<string, string>> = {
  'docs/capacity.md ## Rates': 'advice for a range of rates',
  'docs/capacity.md ## Backlog': 'products of the sizes above',
  'docs/capacity.md ## Rows that are kept: the inbox and HTTP keys':
    'products of a rate and the days that rows are kept',
}

interface Section {
  readonly place: string
  readonly text: string
}

/** By headings of the second level. */
const sectionsOf = (path: string): readonly Section[] =>
  read(path)
    .split(/^(?=## )/m)
    .map((text) => ({ place: `${path} ${text.slice(0, text.indexOf('\n'))}`, text }))

/** Code tells what to do; it measures nothing. */
const prose = (text: string): string => text.replace(/^```[\s\S]*?^```/gm, '')

const bare = (sections: readonly Section[]): readonly string[] =>
  sections.flatMap(({ place, text }) => (figure.test(prose(text)) && !command.test(text) ? [place] : []))

it('every section of README and docs that shows a measured figure says by which command it is seen again', () => {
  const found = pages.flatMap((page) => bare(sectionsOf(page)))

  expect(pages.length).toBeGreaterThan(40)
  expect(found.filter((place) => !(place in reckoned))).toEqual([])
  expect(Object.keys(reckoned).filter((place) => !found.includes(place))).toEqual([])
})

it.each([
  'The relay settles 78,000 messages/s.',
  'p99 is 4.6 ms',
  'It took 3 s.',
  'half of the lanes within 0.8 s',
  '36 % of the commits',
  '173,993 published',
])('a figure without a command is seen: %s', (text) => {
  expect(bare([{ place: 'here', text }])).toEqual(['here'])
  expect(bare([{ place: 'here', text: `${text} Again: \`npm run bench -- drain\`.` }])).toEqual([])
})

const commands = pages.flatMap((page) =>
  [...read(page).matchAll(/npm run ([\w:-]+)(?: -- ([^`\n]*))?/g)].map(([, name = '', args = '']) => ({
    page,
    name,
    // What a shell would make of `$(…)`, no more than these pages use.
    args: args.replace(/\$\(printf '([^%]*)%\.0s'[^)]*\)\)/g, '$1').trim(),
  })),
)
const questions = new Set(
  globSync('bench/questions/*.ts', { cwd: root }).flatMap((path) =>
    [...read(path).matchAll(/^ {2,}name: '([\w-]+)'/gm)].map(([, name]) => name),
  ),
)

it('each command that a page names exists, each question of the benchmark, and each option of a chaos run', () => {
  const scripts = Object.keys((JSON.parse(read('package.json')) as { scripts: object }).scripts)
  const foreign = new Set(['dev', 'start', 'relay', 'migrate']) // Of the service that `npm create malote` makes.

  expect(commands.length).toBeGreaterThan(30)
  expect(commands.filter(({ name }) => !scripts.includes(name) && !foreign.has(name))).toEqual([])
  for (const { page, name, args } of commands) {
    if (name === 'chaos' && args !== '')
      expect(() => chaosArguments(args.split(' '), () => {}), `${page}: ${args}`).not.toThrow()
    if (name !== 'bench') continue
    const asked = args.split(' ').filter((word) => /^[a-z]/.test(word)) // NAME stands for any.
    expect(
      asked.filter((question) => !questions.has(question)),
      `${page}: ${args}`,
    ).toEqual([])
  }
})
