import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { plantedForJudges } from '../judges/planted-faults.ts'
import { mutants } from './list.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

it.each([...mutants, ...plantedForJudges])(
  'the patch "$name" fits the code: after a change, change or replace it',
  ({ file, find, replace }) => {
    const places = readFileSync(root + file, 'utf8').split(find).length - 1

    expect(places).toBe(1)
    expect(replace).not.toBe(find)
  },
)

it('each is looked for by a test that is there', () => {
  expect(mutants.filter(({ test }) => !existsSync(root + test))).toEqual([])
})

it('there are sixty of them at least, each with a name of its own', () => {
  expect(mutants.length).toBeGreaterThanOrEqual(60)
  expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length)
})
