import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { expect } from 'vitest'
import { type DoctorLimits, diagnose, type Finding, grantStatements } from '../src/index.ts'
import { eventually } from '../src/testing/index.ts'
import { createRelayBench, type RelayBench } from './relay-bench.ts'

/** A bench, the doctor in it with the rights of a reader, and somebody else. */
export interface DoctorBench {
  readonly bench: RelayBench
  /** Of the reader. */
  readonly role: string
  /** The sessions of both are as old as the case. */
  readonly reader: pg.Client
  readonly other: pg.Client
  begin(): Promise<void>
  end(): Promise<void>
  close(): Promise<void>
  look(limits?: Partial<DoctorLimits>): Promise<readonly Finding[]>
  /** Waits until the doctor says it. */
  finding(code: string, limits?: Partial<DoctorLimits>): Promise<Finding>
  /** Waits until the doctor says it no more. */
  gone(code: string, limits?: Partial<DoctorLimits>): Promise<void>
}

export const codes = (findings: readonly Finding[]): string[] => findings.map(({ code }) => code)

export async function createDoctorBench(postgresUrl: string): Promise<DoctorBench> {
  const bench = await createRelayBench(postgresUrl)
  const role = `looker_${randomBytes(6).toString('hex')}`
  await bench.pool.query(`create role ${role} login password 'p'`)
  await bench.pool.query(grantStatements(role, 'reader').join('\n'))
  await bench.pool.query(`grant pg_read_all_stats to ${role}`)
  return new OpenDoctorBench(bench, role)
}

class OpenDoctorBench implements DoctorBench {
  readonly bench: RelayBench
  readonly role: string
  reader!: pg.Client
  other!: pg.Client

  constructor(bench: RelayBench, role: string) {
    this.bench = bench
    this.role = role
  }

  async begin(): Promise<void> {
    const { url } = this.bench.database
    const asReader = Object.assign(new URL(url), { username: this.role, password: 'p' })
    this.reader = new pg.Client({ connectionString: asReader.toString() })
    this.other = new pg.Client({ connectionString: url, application_name: 'the-culprit' })
    await Promise.all([this.reader.connect(), this.other.connect()])
  }

  async end(): Promise<void> {
    await Promise.all([this.reader.end(), this.other.end()])
    await this.bench.reset()
  }

  async close(): Promise<void> {
    await this.bench.pool.query(`drop owned by ${this.role}; drop role ${this.role}`)
    await this.bench.database.drop()
  }

  look(limits: Partial<DoctorLimits> = {}): Promise<readonly Finding[]> {
    return diagnose(this.reader, { purpose: 'reader', limits })
  }

  finding(code: string, limits: Partial<DoctorLimits> = {}): Promise<Finding> {
    return eventually(async () => {
      const found = (await this.look(limits)).find((one) => one.code === code)
      expect(found).toMatchObject({ code })
      return found as Finding
    })
  }

  gone(code: string, limits: Partial<DoctorLimits> = {}): Promise<void> {
    return eventually(async () => expect(codes(await this.look(limits))).not.toContain(code))
  }
}
