import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BrokerReport } from './guarantees.ts'
import type { ChaosReport } from './run-chaos.ts'

/** The reports of runs that were kept, one for each broker. */
export function readReports(): readonly BrokerReport[] {
  const folder = fileURLToPath(new URL('reports', import.meta.url))
  return readdirSync(folder)
    .sort()
    .map((file) => ({
      broker: basename(file, '.json'),
      report: JSON.parse(readFileSync(join(folder, file), 'utf8')) as ChaosReport,
    }))
}
