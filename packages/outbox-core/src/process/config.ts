import { existsSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { resolve } from 'node:path'
import type { EventLogger } from '../log-events.ts'
import { OutboxError } from '../errors.ts'
import type { Publisher } from '../publisher.ts'
import type { RelayOptions } from '../relay/relay-options.ts'

/**
 * One outbox of `malote relay --config`. The file exports this as default, an array of these for several outboxes, or a function of
 * the environment that gives either.
 */
export interface RelayConfig {
  /** What logs and metrics call this outbox, in the label `outbox`. Needed, and different for each, where there are several. */
  readonly outbox?: string
  /** Where its tables are. @defaultValue what `--database-url`, `DATABASE_URL` or `PG*` say */
  readonly databaseUrl?: string
  /** Where messages go. Several outboxes may share one. Closed when the process stops. */
  readonly publisher: Publisher
  /** Everything else about the relay; `schema` for one of several outboxes in a database. */
  readonly relay?: Omit<RelayOptions, 'pool' | 'publisher' | 'onEvent' | 'clock'>
  /** Longest wait for what is in flight on SIGTERM, in milliseconds. @defaultValue the publish timeout */
  readonly graceMs?: number
  /** For example pino. @defaultValue JSON lines on standard output, without batches */
  readonly logger?: EventLogger
}

type Configs = RelayConfig | readonly RelayConfig[]
type Given = Configs | ((environment: NodeJS.ProcessEnv) => Configs | Promise<Configs>)

/**
 * Reads the file: one entry for each outbox.
 *
 * @param schema - what the command line says, for a file with one outbox
 * @throws OutboxError `INVALID_OPTION` that says what to write
 */
export async function loadConfigs(file: string, schema?: string): Promise<readonly RelayConfig[]> {
  const path = resolve(file)
  const wrong = (what: string, cause?: unknown): OutboxError =>
    new OutboxError('INVALID_OPTION', `${file}: ${what}`, { cause })
  if (!existsSync(path)) throw wrong('there is no such file')
  let given: Given | undefined
  try {
    given = ((await import(pathToFileURL(path).href)) as { default?: Given }).default
    if (typeof given === 'function') given = await given(process.env)
  } catch (cause) {
    throw wrong(`cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}`, cause)
  }
  const configs = (Array.isArray(given) ? given : [given]) as readonly (RelayConfig | undefined)[]
  const isWhole = (config: RelayConfig | undefined): config is RelayConfig =>
    typeof config?.publisher?.publish === 'function'
  if (configs.length === 0 || !configs.every(isWhole))
    throw wrong(
      'must export as default { publisher }, an array of these, or a function of the environment that gives it',
    )
  if (configs.length > 1) {
    const mistake = mistakeAmong(configs)
    if (mistake !== null) throw wrong(mistake)
    if (schema !== undefined) throw wrong('has several outboxes: give each its relay.schema instead of --schema')
  }
  return schema === undefined ? configs : configs.map((config) => ({ ...config, relay: { ...config.relay, schema } }))
}

function mistakeAmong(configs: readonly RelayConfig[]): string | null {
  const [names, places] = [new Set<string>(), new Set<string>()]
  for (const { outbox, databaseUrl = '', relay } of configs) {
    if (typeof outbox !== 'string' || outbox === '')
      return 'has several outboxes: give each a name, for example { outbox: "orders", publisher }'
    if (names.has(outbox)) return `has two outboxes named ${outbox}: give each a name of its own`
    const place = JSON.stringify([databaseUrl, relay?.schema ?? 'malote'])
    if (places.has(place))
      return `${outbox} has the database and schema of another: give it its own databaseUrl or relay.schema`
    names.add(outbox)
    places.add(place)
  }
  return null
}
