import type { DoctorStatements } from '../postgres/doctor-statements.ts'
import type { RolePurpose } from '../postgres/grants.ts'
import type { Clock } from '../clock.ts'
import type { Migration, MigrationClient, MigrateOptions } from '../postgres/migrate.ts'
import type { OutboxStatus } from '../status.ts'
import type { DoctorLimits } from './limits.ts'

/** One thing the doctor looked at. */
export interface Finding {
  readonly check: string
  /** `unseen`: this role, or this server, does not let it be looked at. */
  readonly level: 'ok' | 'warning' | 'problem' | 'unseen'
  /** Stable, for alarms and runbooks: see docs/doctor.md. `OK` when nothing is wrong. */
  readonly code: string
  /** What was found. */
  readonly detail: string
  /** Since when, ISO 8601 by the database's clock; null when that is not known. */
  readonly since: string | null
  /** The command or SQL that mends it; null when nothing is to be mended. */
  readonly mend: string | null
}

/** A finding whose check is named by its place. */
export type Found = Omit<Finding, 'check'>

/** `migrateIdempotency` of the other package, which this one must not depend on. */
export type MigrateIdempotency = (client: MigrationClient, options: MigrateOptions) => Promise<readonly Migration[]>

/** What every check may use. */
export interface Patient {
  readonly client: MigrationClient
  readonly schema: string
  /** The command line's `--schema`, or nothing for the default. */
  readonly flag: string
  readonly statements: DoctorStatements
  readonly purpose: RolePurpose
  readonly limits: DoctorLimits
  /** The tables of the schema, as far as there are any. */
  readonly tables: ReadonlySet<string>
  readonly migrateIdempotency?: MigrateIdempotency | undefined
  readonly clock: Clock
}

/** A patient whose status could be read. */
export interface KnownPatient extends Patient {
  readonly status: OutboxStatus
}

export type Check<Given extends Patient = Patient> = (patient: Given) => Promise<readonly Found[]> | readonly Found[]

export const ok = (detail: string): readonly Found[] => [{ level: 'ok', code: 'OK', detail, since: null, mend: null }]

export function found(
  level: 'warning' | 'problem',
  code: string,
  detail: string,
  mend: string,
  since: Date | string | null = null,
): Found {
  return { level, code, detail, mend, since: since instanceof Date ? since.toISOString() : since }
}

/** An age as people say it. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1_000)
  if (seconds < 120) return `${String(seconds)} s`
  if (seconds < 7_200) return `${String(Math.round(seconds / 60))} min`
  return seconds < 172_800 ? `${String(Math.round(seconds / 3_600))} h` : `${String(Math.round(seconds / 86_400))} days`
}

export const counted = (count: number, what: string): string => `${String(count)} ${what}${count === 1 ? '' : 's'}`

/** The instant that lies `ms` before the status was read, by the database's clock. */
export const before = ({ observedAt }: OutboxStatus, ms: number): string =>
  new Date(Date.parse(observedAt) - ms).toISOString()
