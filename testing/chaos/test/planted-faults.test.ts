import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { mutants } from '../../mutants/list.ts'
import { guaranteesWithFaults } from '../planted-faults.ts'

const text = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const checker = text('history/check-history.test.ts')
const model = ['protocol', 'steering', 'consuming', 'blaming'].map((name) => text(`model/${name}.test.ts`)).join('')
const spin = text('judges/spin.ts')
const running = ['variants', 'consumer-outages'].map((name) => text(`chaos/test/${name}.chaos.test.ts`)).join('')
const names = new Set(mutants.map(({ name }) => name))

it.each(guaranteesWithFaults)(
  'every judge has caught a fault of "$promise", and each named is planted by a test',
  (guarantee) => {
    const isMissing =
      (source: string, before = '') =>
      (name: string) =>
        !source.includes(`${before}'${name}'`)

    expect(guarantee.rules.filter(isMissing(checker))).toEqual([])
    expect(guarantee.mistakes.filter(isMissing(model, 'mistake: '))).toEqual([])
    expect(guarantee.spin.filter(isMissing(spin, 'mistake: '))).toEqual([])
    expect(guarantee.variants.filter(isMissing(running))).toEqual([])
    expect(guarantee.mutants.filter((name) => !names.has(name))).toEqual([])
    for (const planted of [guarantee.rules, guarantee.mistakes, guarantee.spin, guarantee.variants, guarantee.mutants])
      expect(planted).not.toEqual([])
  },
)
