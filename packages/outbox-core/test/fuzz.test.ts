import { propertyRuns } from '@malote/testing/property-scale'
import { CommanderError } from 'commander'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeEnvelope } from '../src/adapter/index.ts'
import { createProgram } from '../src/cli/program.ts'

const numRuns = propertyRuns(1_000)

/** What a message has that came from anywhere: text where text is promised, bytes, a date. */
const isMessage = (message: ReturnType<typeof decodeEnvelope>): boolean =>
  [message.id, message.type, message.topic].every((text) => typeof text === 'string' && text !== '') &&
  (message.orderingKey === null || typeof message.orderingKey === 'string') &&
  Object.values(message.headers).every((value) => typeof value === 'string') &&
  !Number.isNaN(message.createdAt.getTime())

let accepted = 0

/** Decodes, or is refused by name. Any other error is a defect, and fails the property. */
function decoded(headers: Record<string, string>, bytes: Uint8Array): boolean {
  try {
    const isRight = isMessage(decodeEnvelope(headers, bytes, 'orders', 'ce_'))
    accepted++
    return isRight
  } catch (error) {
    expect(error).toMatchObject({ code: 'UNDECODABLE_MESSAGE' })
    return true
  }
}

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', '__proto__', '1.0', 'application/json'),
)
const time = fc.oneof(text, fc.constant('2026-11-28T03:00:00Z'))
const attribute = fc
  .tuple(
    fc.constantFrom('ce_', 'ce-', 'cloudEvents:', 'cloudEvents_', ''),
    fc.constantFrom(
      'id',
      'type',
      'source',
      'time',
      'specversion',
      'partitionkey',
      'malotekey',
      '__proto__',
      'toString',
    ),
  )
  .map((parts) => parts.join(''))

describe('a message from anywhere is a message or refused by name, never a surprise', () => {
  it('in binary mode', () => {
    const known = fc.record({ ce_id: text, ce_type: text, ce_partitionkey: text, ce_time: time }, { requiredKeys: [] })
    const others = fc.dictionary(fc.oneof(attribute, fc.constant('content-type'), text), text)
    const headers = fc.tuple(known, others).map(([given, more]) => ({ ...more, ...given }))
    accepted = 0

    fc.assert(fc.property(headers, fc.uint8Array(), decoded), { numRuns })

    expect(accepted).toBeGreaterThan(numRuns / 20)
  })

  it('in structured mode', () => {
    const known = fc.record({ id: text, type: text, data: fc.jsonValue(), time }, { requiredKeys: [] })
    const others = fc.dictionary(
      fc.oneof(attribute, fc.constantFrom('data', 'data_base64', 'datacontenttype')),
      fc.jsonValue(),
    )
    const event = fc.tuple(known, others).map(([given, more]) => ({ ...more, ...given }))
    const body = fc.oneof(
      event.map((value) => Buffer.from(JSON.stringify(value))),
      fc.uint8Array(),
    )
    accepted = 0

    fc.assert(
      fc.property(body, (bytes) => decoded({ 'content-type': 'application/cloudevents+json' }, bytes)),
      { numRuns },
    )

    expect(accepted).toBeGreaterThan(numRuns / 20)
  })
})

/** Every word and option of the program, so that a draw comes close to a command line that is right. */
const words = (() => {
  const program = createProgram(
    '0',
    () => Promise.resolve(),
    () => Promise.resolve(),
    () => Promise.resolve(),
  )
  const commands = [program, ...program.commands, ...program.commands.flatMap((command) => command.commands)]
  return commands.flatMap((command) => [
    command.name(),
    ...command.options.flatMap(({ long }) => (long === null || long === undefined ? [] : [long])),
  ])
})()

it('a command line runs one verb or is refused with code 2, whatever it says', async () => {
  const argument = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...words) },
    text,
    fc.constantFrom('17', '-1', '2026-11-28', '--', '--x'),
  )
  let verbs = 0
  const run = (): Promise<void> => Promise.resolve(void verbs++)
  const program = createProgram('0', run, run, run)
  const commands = [program, ...program.commands, ...program.commands.flatMap((command) => command.commands)]
  for (const command of commands)
    command.exitOverride().configureOutput({ writeOut: () => {}, writeErr: () => {}, outputError: () => {} })
  await fc.assert(
    fc.asyncProperty(fc.array(argument, { maxLength: 8 }), async (args) => {
      verbs = 0
      try {
        await program.parseAsync(args, { from: 'user' })
        expect(verbs).toBeLessThanOrEqual(1)
      } catch (error) {
        expect(error).toBeInstanceOf(CommanderError)
        expect(verbs).toBe(0)
      }
    }),
    { numRuns: propertyRuns(500) },
  )
})
