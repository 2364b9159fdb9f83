import { existsSync } from 'node:fs'
import { consumerConformance, publisherConformance } from '../../packages/outbox-core/src/testing/index.ts'
import { expect, it } from 'vitest'
import { answerOf, isRefusal } from './answer.ts'
import { judgeFiles, plantedForJudges } from './planted-faults.ts'

it('each judge has a fault that it must refuse, and each fault breaks a case of the kits or needs none', () => {
  const judged = new Set(plantedForJudges.flatMap(({ judges }) => judges))
  const cases = [...publisherConformance, ...consumerConformance].map(({ name }) => name)

  expect([...judged].toSorted()).toEqual(Object.keys(judgeFiles).toSorted())
  for (const file of Object.values(judgeFiles)) expect(existsSync(new URL(`${file}.ts`, import.meta.url))).toBe(true)
  expect(cases).toEqual(expect.arrayContaining(plantedForJudges.flatMap((fault) => fault.case ?? [])))
  expect(new Set(plantedForJudges.map(({ name }) => name)).size).toBe(plantedForJudges.length)
})

const fault = { case: 'a crash loses nothing', says: /1 of 7 lost/ }

it.each([
  [
    'by its case and in its words',
    1,
    'WRONG  moto: 2 cases hold\n       a crash loses nothing: 1 of 7 lost',
    'objects',
    true,
  ],
  ['in other words', 1, 'WRONG  moto: 2 cases hold\n       a crash loses nothing: timeout', 'objects', false],
  ['by another case', 1, 'WRONG  moto: 2 cases hold\n       order: 1 of 7 lost', 'objects', false],
  ['that has no objection', 0, 'ok     moto: 3 cases hold', 'holds', false],
  ['that cannot be had', 0, 'NOT RUN moto: no Python\na crash loses nothing: 1 of 7 lost', 'not-run', false],
  ['that does not end', null, 'WRONG  moto: a crash loses nothing: 1 of 7 lost', 'hangs', false],
  ['that falls over', 1, 'SyntaxError: a crash loses nothing: 1 of 7 lost', 'broken', false],
  ['that says nothing', 0, '', 'broken', false],
])('a judge %s', (_, exitCode, told, kind, isRefused) => {
  const answer = answerOf({ exitCode, told })

  expect(answer.kind).toBe(kind)
  expect(isRefusal(answer, fault)).toBe(isRefused)
})
