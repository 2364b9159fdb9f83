import { expect, it } from 'vitest'
import { createTurns, sparing } from '../../src/console/sparing.ts'
import { createManualClock } from '../../src/testing/index.ts'

function setup() {
  const clock = createManualClock()
  const gates: PromiseWithResolvers<number>[] = []
  const answers = sparing(
    () => {
      const gate = Promise.withResolvers<number>()
      gates.push(gate)
      return gate.promise
    },
    { restMs: 1_000, clock, inTurn: (work) => work() },
  )
  return { clock, gates, answers }
}

it('a hundred viewers are one question', async () => {
  const { gates, answers } = setup()

  const all = Array.from({ length: 100 }, () => answers.get())
  gates[0]?.resolve(7)

  expect(await Promise.all(all)).toEqual(all.map(() => 7))
  await answers.get()
  expect(gates).toHaveLength(1)
})

it('rests, and nine times as long as a dear answer took', async () => {
  const { clock, gates, answers } = setup()
  const first = answers.get()
  await clock.advance(2_000)
  gates[0]?.resolve(1)
  await first

  await clock.advance(17_999)
  await answers.get()
  expect(gates).toHaveLength(1)
  await clock.advance(1)
  void answers.get()

  expect(gates).toHaveLength(2)
})

it('asks nothing while nobody wants to know', async () => {
  const { clock, gates } = setup()

  await clock.advance(3_600_000)

  expect(gates).toHaveLength(0)
})

it('a failure is an answer too, until its rest is over', async () => {
  const { clock, gates, answers } = setup()
  const first = answers.get()
  gates[0]?.reject(new Error('away'))
  await expect(first).rejects.toThrow('away')

  await expect(answers.get()).rejects.toThrow('away')
  expect(gates).toHaveLength(1)
  await clock.advance(1_000)
  void answers.get()

  expect(gates).toHaveLength(2)
})

it('two kinds of questions are asked one after the other, also where the first fails', async () => {
  const inTurn = createTurns()
  const gate = Promise.withResolvers<never>()
  const done: string[] = []
  const first = inTurn(() => gate.promise.finally(() => done.push('first')))
  const second = inTurn(async () => void done.push('second'))

  gate.reject(new Error('away'))

  await expect(first).rejects.toThrow('away')
  await second
  expect(done).toEqual(['first', 'second'])
})

it('after a decision the next question is asked at once, and still one at a time', async () => {
  const { gates, answers } = setup()
  const first = answers.get()

  answers.forget()
  void answers.get()
  expect(gates).toHaveLength(1)
  gates[0]?.resolve(1)
  await first
  void answers.get()

  expect(gates).toHaveLength(2)
})
