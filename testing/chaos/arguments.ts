import { parseArgs } from 'node:util'
import { brokerNames } from './brokers/broker.ts'
import { consumerOutages, faultKinds, onlyByName } from './plan.ts'
import type { ChaosOptions } from './run-chaos.ts'
import { variants } from './roles/role.ts'

export const usage: string = `npm run chaos -- [options]
  --minutes M     how long faults are injected (default 1)
  --seed S        repeats a run's plan (default: random, printed)
  --relays R      relay processes (default 3)
  --writers W     writer processes (default 2)
  --consumers C   consumer processes (default 2)
  --keys K        ordering keys (default 40)
  --broker B      ${brokerNames.join(', ')} (default sqs)
  --faults LIST   only these kinds, comma separated; there are: ${faultKinds.join(', ')}
  --outage S      how long the handlers' database, the place for dead letters, or a destination is away (default: 1 to 4, drawn)
  --every MS      mean time between two faults (default 2500)
  --lease MS      the relays' lease (default 3000; with --defaults 30000)
  --defaults      relays keep the library's own lease, attempts, pauses and limits, and no message is made to fail
  --no-presence   a dead relay is noticed by its lease alone
  --drain S       seconds without progress after which the run is over; more on a busy machine (default 45)
  --variant V     take one rule out of the protocol, to see the checker find it: ${variants.slice(1).join(', ')}
  --hasty         do not wait to see that everybody works again after the last fault
  --keep          leave journals, data and the history where they are
  --json          the last line is the report as one JSON object`

const defaultEveryMs = 2_500

export interface ChaosArguments extends ChaosOptions {
  readonly json: boolean
}

/** @throws Error that says which argument is wrong */
export function chaosArguments(args: readonly string[], say: (line: string) => void): ChaosArguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string', default: '1' },
      seed: { type: 'string' },
      relays: { type: 'string', default: '3' },
      writers: { type: 'string', default: '2' },
      consumers: { type: 'string', default: '2' },
      keys: { type: 'string', default: '40' },
      broker: { type: 'string', default: 'sqs' },
      faults: { type: 'string', default: faultKinds.filter((kind) => !onlyByName.includes(kind)).join(',') },
      outage: { type: 'string' },
      every: { type: 'string', default: String(defaultEveryMs) },
      lease: { type: 'string' },
      defaults: { type: 'boolean', default: false },
      'no-presence': { type: 'boolean', default: false },
      drain: { type: 'string', default: '45' },
      variant: { type: 'string', default: 'none' },
      hasty: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  const kinds = values.faults.split(',').map((kind) => oneOf('faults', kind, faultKinds))
  return {
    seed: values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : positive('seed', values.seed),
    seconds: positive('minutes', values.minutes) * 60,
    relays: positive('relays', values.relays),
    writers: positive('writers', values.writers),
    consumers: positive('consumers', values.consumers),
    keys: positive('keys', values.keys),
    broker: oneOf('broker', values.broker, brokerNames),
    kinds,
    refuses: kinds.some((kind) => consumerOutages.includes(kind)),
    defaults: values.defaults,
    outageMs: values.outage === undefined ? null : positive('outage', values.outage) * 1_000,
    everyMs: positive('every', values.every),
    leaseMs: positive('lease', values.lease ?? (values.defaults ? '30000' : '3000')),
    presence: !values['no-presence'],
    variant: oneOf('variant', values.variant, variants),
    drainMs: positive('drain', values.drain) * 1_000,
    isHasty: values.hasty,
    keep: values.keep,
    json: values.json,
    say,
  }
}

function positive(name: string, value: string): number {
  const number = Number(value)
  if (!Number.isFinite(number) || number < 0) throw new Error(`--${name} ${value}: a number, 0 or more`)
  return number
}

function oneOf<Value extends string>(name: string, value: string, values: readonly Value[]): Value {
  const found = values.find((one) => one === value)
  if (found === undefined) throw new Error(`--${name} ${value}: one of ${values.join(', ')}`)
  return found
}
