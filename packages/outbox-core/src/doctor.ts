import { type Clock, systemClock } from './clock.ts'
import { type Check, type Finding, type Found, type MigrateIdempotency, type Patient } from './doctor/finding.ts'
import { flowChecks } from './doctor/flow-checks.ts'
import { consumerChecks } from './doctor/consumer-checks.ts'
import { type DoctorLimits, doctorLimits } from './doctor/limits.ts'
import { checkSchema, tablesOf } from './doctor/schema-check.ts'
import { serverChecks } from './doctor/server-checks.ts'
import { doctorStatements } from './postgres/doctor-statements.ts'
import type { RolePurpose } from './postgres/grants.ts'
import { defaultSchema, schemaOption } from './postgres/identifiers.ts'
import type { MigrationClient } from './postgres/migrate.ts'
import { sqlStateOf } from './postgres/queryable.ts'
import { type OutboxStatus, outboxStatus } from './status.ts'

export type { Finding, MigrateIdempotency } from './doctor/finding.ts'
export type { DoctorLimits } from './doctor/limits.ts'

/** What `diagnose` looks at, for whom, and from which limits on it says something. */
export interface DiagnoseOptions {
  /** Schema the outbox tables live in. @defaultValue "malote" */
  readonly schema?: string
  /** What the role that looks is for: its privileges are checked against it. @defaultValue "relay" */
  readonly purpose?: RolePurpose
  /** From where on something is said. */
  readonly limits?: Partial<DoctorLimits>
  /** `migrateIdempotency` of @malote/idempotency, where its tables are to be looked at as well. It is asked what it would do, no more. */
  readonly migrateIdempotency?: MigrateIdempotency
  /** This machine's, compared with the database's. @defaultValue the system's clock */
  readonly clock?: Clock
}

/**
 * Looks for what makes an outbox slow, silent or unsafe, and says since when and how to mend it. Changes nothing, and works
 * with few rights: what this role may not see is a finding of level `unseen`.
 *
 * @param client - a pg client outside a transaction
 * @throws OutboxError `INVALID_OPTION`. Database errors other than missing rights come through.
 */
export async function diagnose(client: MigrationClient, options: DiagnoseOptions = {}): Promise<readonly Finding[]> {
  const bare = patientOf(client, options, new Set())
  const { schema, flag } = bare
  const findings: Finding[] = []
  const look = async (check: string, ask: () => ReturnType<Check>): Promise<readonly Found[]> => {
    const results = await seen(ask)
    findings.push(...results.map((result) => ({ check, ...result })))
    return results
  }
  const migrations = await look('migrations', () => checkSchema(client, schema, flag))
  if (migrations.some(({ level }) => level === 'problem')) return findings // Nothing else can be looked at.
  const patient = { ...bare, tables: await tablesOf(client, schema) }
  let status: OutboxStatus | undefined
  await look('status', async () => {
    status = await outboxStatus(client, { schema })
    return []
  })
  if (status !== undefined) {
    const known = { ...patient, status }
    for (const [name, check] of Object.entries(flowChecks)) await look(name, () => check(known))
  }
  for (const [name, check] of Object.entries({ ...serverChecks, ...consumerChecks }))
    await look(name, () => check(patient))
  return findings
}

/** Whether a finding comes from the checks that ask if messages get out: they need the status, and hardly more. */
export const isAboutFlow = ({ check }: Finding): boolean => Object.hasOwn(flowChecks, check)

/** Those checks alone, of a status that was just read. */
export async function diagnoseFlow(
  client: MigrationClient,
  status: OutboxStatus,
  options: { readonly schema: string },
): Promise<readonly Finding[]> {
  const patient = { ...patientOf(client, options, new Set()), status }
  const findings: Finding[] = []
  for (const [check, ask] of Object.entries(flowChecks))
    findings.push(...(await seen(() => ask(patient))).map((found) => ({ check, ...found })))
  return findings
}

function patientOf(client: MigrationClient, options: DiagnoseOptions, tables: ReadonlySet<string>): Patient {
  const schema = schemaOption(options.schema)
  return {
    client,
    schema,
    flag: schema === defaultSchema ? '' : ` --schema ${schema}`,
    limits: doctorLimits(options.limits),
    purpose: options.purpose ?? 'relay',
    statements: doctorStatements(schema),
    tables,
    migrateIdempotency: options.migrateIdempotency,
    clock: options.clock ?? systemClock,
  }
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
