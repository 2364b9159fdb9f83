import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

export const brokers = ['sqs', 'rabbitmq', 'kafka'] as const
export type BrokerName = (typeof brokers)[number]

export interface DemoOptions {
  /** File of requests. Null: generate `orders` of them. */
  readonly input: string | null
  readonly orders: number
  readonly killRelay: number
  readonly seed: number
  readonly json: boolean
  readonly keep: boolean
  /** Folder that outlives the run. Null: a temporary one. */
  readonly data: string | null
  readonly broker: BrokerName
  /** Seconds the broker is stopped in the middle of the run. 0: it is not. */
  readonly brokerOutageSeconds: number
  readonly help: boolean
}

/** The command line cannot be understood. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export const usage = `npm run demo -- [options]

  --input FILE          requests to send, one JSON object per line (default: data/orders.jsonl)
  --orders N            generate N requests instead
  --seed S              generate from this seed, and choose the moments of the kills by it (default 1)
  --kill-relay K        kill the relay with SIGKILL in the middle of a publish K times (default 3)
  --broker NAME         sqs (default, embedded), rabbitmq or kafka
  --broker-outage S     stop the broker for S seconds in the middle of the run
  --data DIR            keep database and queues here, and go on from what an earlier run left
  --json                print one JSON object on stdout and nothing else
  --keep                stay up afterwards and print the URLs; Ctrl-C ends
  --help                print this
`

const defaultInput = fileURLToPath(new URL('../../data/orders.jsonl', import.meta.url))

/** @throws UsageError */
export function parseArguments(args: readonly string[]): DemoOptions {
  const values = parse(args)
  if (values.input !== undefined && values.orders !== undefined)
    throw new UsageError('--input and --orders exclude each other: read requests, or generate them')
  const broker = brokerName(values.broker ?? 'sqs')
  if (values.data !== undefined && broker !== 'sqs')
    throw new UsageError('--data needs --broker sqs: the queues of the others end with the run')
  const generates = values.orders !== undefined || values.seed !== undefined
  return {
    input: values.input ?? (generates ? null : defaultInput),
    orders: whole('--orders', values.orders, 500, 1_000_000),
    killRelay: whole('--kill-relay', values['kill-relay'], 3, 100),
    seed: whole('--seed', values.seed, 1, 2 ** 32 - 1),
    json: values.json ?? false,
    keep: values.keep ?? false,
    data: values.data ?? null,
    broker,
    brokerOutageSeconds: whole('--broker-outage', values['broker-outage'], 0, 600),
    help: values.help ?? false,
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        input: { type: 'string' },
        orders: { type: 'string' },
        seed: { type: 'string' },
        'kill-relay': { type: 'string' },
        broker: { type: 'string' },
        'broker-outage': { type: 'string' },
        data: { type: 'string' },
        json: { type: 'boolean' },
        keep: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }).values
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error })
  }
}

function whole(name: string, text: string | undefined, fallback: number, max: number): number {
  if (text === undefined) return fallback
  const value = Number(text)
  if (!/^\d+$/.test(text) || value > max)
    throw new UsageError(`${name} is "${text}": it must be a whole number from 0 to ${String(max)}`)
  return value
}

function brokerName(text: string): BrokerName {
  const name = brokers.find((candidate) => candidate === text)
  if (name === undefined) throw new UsageError(`--broker is "${text}": it must be one of ${brokers.join(', ')}`)
  return name
}
