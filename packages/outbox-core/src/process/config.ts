import { existsSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { resolve } from 'node:path'
import type { EventLogger } from '../log-events.ts'
import { OutboxError } from '../errors.ts'
import type { Publisher } from '../publisher.ts'
import type { RelayOptions } from '../relay/relay-options.ts'

/** What a file for `malote relay --config` exports as default: this, or a function of the environment that gives it. */
export interface RelayConfig {
  /** Where messages go. Closed when the process stops. */
  readonly publisher: Publisher
  /** Everything else about the relay. */
  readonly relay?: Omit<RelayOptions, 'pool' | 'publisher' | 'onEvent' | 'clock'>
  /** Longest wait for what is in flight on SIGTERM, in milliseconds. @defaultValue the publish timeout */
  readonly graceMs?: number
  /** For example pino. @defaultValue JSON lines on standard output, without batches */
  readonly logger?: EventLogger
}

type Given = RelayConfig | ((environment: NodeJS.ProcessEnv) => RelayConfig | Promise<RelayConfig>)

/** @throws OutboxError `INVALID_OPTION` that says what to write */
export async function loadConfig(file: string): Promise<RelayConfig> {
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
  if (typeof given?.publisher?.publish !== 'function')
    throw wrong('must export as default { publisher }, or a function of the environment that gives it')
  return given
}
