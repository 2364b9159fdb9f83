import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { brokerageFolder, curls, linksOf, refusals, seeds } from './seeds.ts'

describe('the list of what the brokerage takes over', () => {
  it.each(seeds)('says where "$feature" is and what holds it, and both are there', ({ code, test, see }) => {
    expect(code).not.toBe('')
    expect(test).not.toBe('')
    expect(linksOf(`${code} ${test} ${see}`).filter((path) => !existsSync(join(brokerageFolder, path)))).toEqual([])
  })

  it('names a test for every feature that is code of this folder', () => {
    const isHere = ({ code }: (typeof seeds)[number]) => linksOf(code).some((path) => path.startsWith('src/'))
    const isTest = (path: string) => /^test\/[\w-]+(\.\w+)?\.test\.ts$/.test(path)
    const unheld = seeds.filter(
      (seed) => isHere(seed) && !linksOf(seed.test).some(isTest) && !/npm run/.test(seed.test),
    )

    expect(seeds.length).toBeGreaterThan(40)
    expect(unheld.map(({ feature }) => feature)).toEqual([])
  })

  it('has commands to paste, and a reason for everything that was left out', () => {
    expect(curls.length).toBeGreaterThan(12)
    expect(refusals.length).toBeGreaterThan(4)
    for (const { why } of refusals) expect(why).not.toBe('')
  })
})

describe('the README', () => {
  const readme = readFileSync(join(brokerageFolder, 'README.md'), 'utf8')

  it('leads to nothing that is not there', () => {
    expect(linksOf(readme).filter((path) => !existsSync(join(brokerageFolder, path)))).toEqual([])
  })

  it('answers the six questions, each with code or a test', () => {
    const section = /## Six questions\n([\s\S]*?)\n\nFeature by feature/.exec(readme)?.[1] ?? ''
    const answers = section.split(/^\d\. /m).slice(1)

    expect(answers).toHaveLength(6)
    for (const answer of answers) expect(answer).toMatch(/^\*\*[^*]+\*\*/)
    expect(answers.filter((answer) => linksOf(answer).length === 0)).toEqual([])
  })
})

const files = readdirSync(join(brokerageFolder, 'src'), { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.ts'),
)
const textOf = (file: string): string => readFileSync(join(brokerageFolder, 'src', file), 'utf8')

it('the folders of the domain take nothing from those of the demo', () => {
  const domain = ['accounts', 'api', 'b3', 'balances', 'listeners', 'market', 'orders']
  const demo = /from '\.\.\/(demo|supervisor|witness)\//
  const guests = files.filter(
    (file) => domain.some((folder) => file.startsWith(`${folder}/`)) && demo.test(textOf(file)),
  )

  expect(guests).toEqual([])
  for (const folder of domain) expect(files.some((file) => file.startsWith(`${folder}/`))).toBe(true)
})

it('no file has more than 300 lines', () => {
  const tests = readdirSync(join(brokerageFolder, 'test')).map((file) => join('..', 'test', file))
  const page = readdirSync(join(brokerageFolder, 'src', 'console')).map((file) => join('console', file))
  const long = [...files, ...page, ...tests].filter((file) => textOf(file).split('\n').length > 301)

  expect(long).toEqual([])
})
