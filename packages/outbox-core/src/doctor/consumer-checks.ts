import { type Check, duration, found, ok } from './finding.ts'

const dateOf = (value: unknown): Date | null => (value instanceof Date ? value : null)
const numberOf = (value: unknown): number => Number(value ?? 0)

/** The checks that ask whether consumers apply messages once, where their tables are in this database too. */
export const consumerChecks: Readonly<Record<string, Check>> = {
  'idempotency tables': async ({ client, schema, tables, purpose, flag, migrateIdempotency }) => {
    const run = `\`malote migrate --only idempotency${flag}\``
    if (!tables.has('idempotency_keys'))
      return purpose === 'consumer'
        ? [found('problem', 'IDEMPOTENCY_MISSING', `the idempotency tables are not in schema "${schema}"`, run)]
        : ok('none here')
    const missing = (await migrateIdempotency?.(client, { schema, dryRun: true })) ?? []
    if (missing.length === 0) return ok(migrateIdempotency === undefined ? 'here' : 'all applied')
    const names = missing.map(({ name }) => name).join(', ')
    return [found('problem', 'IDEMPOTENCY_OLDER', `not applied: ${names}`, run)]
  },

  inbox: async ({ client, statements, tables, limits, flag }) => {
    if (!tables.has('inbox_watermarks')) return ok('none here')
    const letters = (await client.query(statements.forgottenLetters)).rows[0] ?? {}
    const { rows } = await client.query(statements.inboxRetention)
    const short = rows.filter((row) => Number(row['ms']) < limits.brokerRetentionMs)
    const findings = short.map((row) =>
      found(
        'warning',
        'INBOX_RETENTION_SHORT',
        `the inbox (${String(row['profile'])}) forgets after ${duration(Number(row['ms']))}, and the broker may deliver for ${duration(limits.brokerRetentionMs)}: what comes later is refused as stale`,
        'raise keepDays of maintainInbox; or lower the retention of queues, topics and their dead-letter queues',
      ),
    )
    if (numberOf(letters['letters']) > 0)
      findings.push(
        found(
          'warning',
          'DEAD_LETTERS_FORGOTTEN',
          `${String(letters['letters'])} dead letters are older than what the inbox remembers: replayed, they are refused as stale`,
          `see what was applied: \`malote dead-letters replay --explain${flag}\`; then discard, or apply by hand`,
          dateOf(letters['since']),
        ),
      )
    return findings.length > 0 ? findings : ok('remembers long enough')
  },

  'idempotency keys': async ({ client, statements, tables, limits }) => {
    if (!tables.has('idempotency_keys')) return ok('none here')
    const row = (await client.query(statements.keys, [limits.expiredKeyMs])).rows[0] ?? {}
    const findings = []
    if (numberOf(row['indeterminate']) > 0)
      findings.push(
        found(
          'warning',
          'KEYS_INDETERMINATE',
          `of ${String(row['indeterminate'])} requests nobody knows whether they had their effect; each repetition is refused until somebody decides`,
          'find out at the foreign system, then resolve each: see docs/idempotency.md',
          dateOf(row['indeterminate_since']),
        ),
      )
    if (numberOf(row['expired']) > 0)
      findings.push(
        found(
          'warning',
          'KEYS_NOT_PURGED',
          `${String(row['expired'])} idempotency keys have expired and are still there: nobody purges them`,
          'run idempotency.purge() regularly: startRetention does',
          dateOf(row['expired_since']),
        ),
      )
    return findings.length > 0 ? findings : ok('none left over')
  },
}
