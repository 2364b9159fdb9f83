import { type Check, type Finding, type Found, type Patient } from './doctor/finding.ts'
import { flowChecks } from './doctor/flow-checks.ts'
import { checkSchema } from './doctor/schema-check.ts'
import { serverChecks } from './doctor/server-checks.ts'
import { numberOption } from './options.ts'
import { doctorStatements } from './postgres/doctor-statements.ts'
import type { RolePurpose } from './postgres/grants.ts'
import { defaultSchema, schemaOption } from './postgres/identifiers.ts'
import type { MigrationClient } from './postgres/migrate.ts'
import { sqlStateOf } from './postgres/queryable.ts'
import { type OutboxStatus, outboxStatus } from './status.ts'

export type { Finding } from './doctor/finding.ts'

export interface ExamineOptions {
  /** Schema the outbox tables live in. @defaultValue "malote" */
  readonly schema?: string
  /** What the role that looks is for: its privileges are checked against it. @defaultValue "relay" */
  readonly purpose?: RolePurpose
  /** Age from which a message that is due and not published is a problem, in milliseconds. @defaultValue 60_000 */
  readonly overdueMs?: number
}

/**
 * Looks for what makes an outbox slow, silent or unsafe, and says since when and how to mend it. Changes nothing, and works
 * with few rights: what this role may not see is a finding of level `unseen`.
 *
 * @param client - a pg client outside a transaction
 * @throws OutboxError `INVALID_OPTION`. Database errors other than missing rights come through.
 */
export async function examine(client: MigrationClient, options: ExamineOptions = {}): Promise<readonly Finding[]> {
  const schema = schemaOption(options.schema)
  const flag = schema === defaultSchema ? '' : ` --schema ${schema}`
  const overdueMs = numberOption('overdueMs', options.overdueMs, 60_000, { min: 1 })
  const findings: Finding[] = []
  const look = async (check: string, ask: () => ReturnType<Check>): Promise<readonly Found[]> => {
    const results = await seen(ask)
    findings.push(...results.map((result) => ({ check, ...result })))
    return results
  }
  const migrations = await look('migrations', () => checkSchema(client, schema, flag))
  if (migrations.some(({ level }) => level === 'problem')) return findings // Nothing else can be looked at.
  const patient: Patient = {
    client,
    schema,
    flag,
    overdueMs,
    purpose: options.purpose ?? 'relay',
    statements: doctorStatements(schema),
  }
  let status: OutboxStatus | undefined
  await look('status', async () => {
    status = await outboxStatus(client, { schema })
    return []
  })
  if (status !== undefined) {
    const known = { ...patient, status }
    for (const [name, check] of Object.entries(flowChecks)) await look(name, () => check(known))
  }
  for (const [name, check] of Object.entries(serverChecks)) await look(name, () => check(patient))
  return findings
}

/** What this role may not see is said, and the rest is looked at all the same. */
async function seen(ask: () => ReturnType<Check>): Promise<readonly Found[]> {
  try {
    return await ask()
  } catch (error) {
    if (sqlStateOf(error) !== '42501') throw error
    const detail = `this role may not look: ${error instanceof Error ? error.message : String(error)}`
    return [
      {
        level: 'unseen',
        code: 'UNSEEN',
        detail,
        since: null,
        mend: 'as the owner: `malote grants --role ROLE --for reader`',
      },
    ]
  }
}
