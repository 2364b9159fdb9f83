import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BrokerReport } from './guarantees.ts'
import type { ChaosReport } from './run-chaos.ts'

/** The reports of runs that were kept, one for each broker; `outages`: of those in which consumers lack what they need. */
export function readReports(folderName: 'reports' | 'reports/outages' = 'reports'): readonly BrokerReport[] {
  const folder = fileURLToPath(new URL(folderName, import.meta.url))
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => ({
      broker: basename(file, '.json'),
      report: JSON.parse(readFileSync(join(folder, file), 'utf8')) as ChaosReport,
    }))
}
