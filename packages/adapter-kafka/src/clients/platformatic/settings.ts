import type { BaseOptions } from '@platformatic/kafka'

/** Where Kafka is and how to speak to it, as `@platformatic/kafka` takes it: `bootstrapBrokers`, `clientId`, `tls`, `sasl`, time limits. */
export type PlatformaticConnection = Omit<BaseOptions, 'retries' | 'retryDelay' | 'autocreateTopics' | 'strict'>

/**
 * What publisher and consumer rely on.
 *
 * - `retries: false`: one try. The adapter tries again itself, with a new producer or as a new member of the group. The client would send
 *   to an idempotent producer for ever, and commit offsets once more after it had joined anew.
 * - `autocreateTopics: false`: a mistyped topic fails visibly instead of coming to life with one partition.
 */
export const fixedSettings = { retries: false, autocreateTopics: false } as const
