import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { plantedForJudges } from '../../judges/planted-faults.ts'
import { brokenSystems } from '../../judges/spin-systems.ts'
import { brokenBlames, brokenConsumers, brokenKeys, brokenLanes } from '../../model/mistakes.ts'
import { mutants } from '../../mutants/list.ts'
import { promises } from '../../mutants/mutant.ts'
import { guaranteesWithFaults } from '../planted-faults.ts'
import { plantedInConsumers, plantedInRelays } from '../planted-variants.ts'

const checker = readFileSync(new URL('../../history/check-history.test.ts', import.meta.url), 'utf8')
const ofModels = [...brokenLanes, ...brokenKeys, ...brokenConsumers, ...brokenBlames]
const inSystem = [...plantedInRelays, plantedInConsumers]

it.each(guaranteesWithFaults)(
  'every judge catches a fault of "$promise" as a breach of it, and each that is named is planted by a test',
  ({ called, rules, properties, mistakes, spin, variants, mutants: named, foreign }) => {
    for (const planted of [rules, mistakes, spin, variants, named]) expect(planted).not.toEqual([])

    for (const rule of rules) expect(checker).toContain(`'${rule}'`)
    for (const mistake of mistakes)
      expect(properties).toContain(ofModels.find((one) => one.mistake === mistake)?.property)
    for (const mistake of spin)
      expect({ mistake, breaks: brokenSystems.find((one) => one.mistake.name === mistake)?.mistake.breaks }).toEqual({
        mistake,
        breaks: called,
      })
    for (const mutant of named)
      expect({ mutant, promise: mutants.find(({ name }) => name === mutant)?.promise }).toEqual({
        mutant,
        promise: promises[called],
      })
    for (const fault of foreign)
      expect({ fault, promise: plantedForJudges.find(({ name }) => name === fault)?.promise }).toEqual({
        fault,
        promise: called,
      })
    const seenAs = variants.map((variant) => inSystem.find((one) => one.variant === variant)?.seenAs ?? [])
    const isOurs = (rule: (typeof rules)[number]): boolean => rules.includes(rule)
    for (const sets of seenAs) expect(sets.some((set) => set.some(isOurs))).toBe(true)
    // And one that cannot be seen as anything else.
    expect(seenAs.some((sets) => sets.some((set) => set.every(isOurs)))).toBe(true)
  },
)

it('brokers and their clients are shown a breach of each promise but those about transactions, lanes and cut-offs', () => {
  const unseen = guaranteesWithFaults.filter(({ foreign }) => foreign.length === 0).map(({ called }) => called)

  expect(unseen).toEqual(['backed', 'owned', 'complete'])
})

it('each rule of the checker that a variant breaks belongs to one promise', () => {
  const rules = guaranteesWithFaults.flatMap((guarantee) => guarantee.rules)
  const broken = inSystem.flatMap(({ seenAs }) => seenAs.flat())

  expect(broken.filter((rule) => !rules.includes(rule))).toEqual([])
  expect(new Set(rules).size).toBe(rules.length)
})
