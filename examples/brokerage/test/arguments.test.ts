import { describe, expect, it } from 'vitest'
import { parseArguments, UsageError } from '../src/demo/arguments.ts'

describe('the command line', () => {
  it('reads the file of the repository unless told otherwise', () => {
    expect(parseArguments([]).input).toMatch(/data\/orders\.jsonl$/)
    expect(parseArguments([])).toMatchObject({ killRelay: 3, broker: 'sqs', json: false, keep: false, data: null })
  })

  it('generates when asked for a number or a seed', () => {
    expect(parseArguments(['--orders', '3000'])).toMatchObject({ input: null, orders: 3000, seed: 1 })
    expect(parseArguments(['--seed', '5'])).toMatchObject({ input: null, orders: 500, seed: 5 })
    expect(parseArguments(['--seed', '5', '--input', 'f'])).toMatchObject({ input: 'f', seed: 5 })
  })

  it.each([
    [['--orders', 'many']],
    [['--orders', '-1']],
    [['--orders', '3', '--input', 'f']],
    [['--broker', 'nats']],
    [['--kill-relay', '1.5']],
    [['--unknown']],
    [['stray']],
  ])('%o is refused', (args) => {
    expect(() => parseArguments(args)).toThrow(UsageError)
  })
})
