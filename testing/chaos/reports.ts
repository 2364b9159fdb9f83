import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BrokerReport } from './guarantees.ts'
import type { ChaosReport } from './run-chaos.ts'

/** Kept runs: the long ones, shorter ones with the faults and cut-offs that came later, and those in which consumers lack what they need. */
type Kept = 'reports' | 'reports/lately' | 'reports/outages'

/** The reports of runs that were kept, one for each broker. */
export function readReports(folderName: Kept = 'reports'): readonly BrokerReport[] {
  const folder = fileURLToPath(new URL(folderName, import.meta.url))
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => ({
      broker: basename(file, '.json'),
      report: JSON.parse(readFileSync(join(folder, file), 'utf8')) as ChaosReport,
    }))
}
