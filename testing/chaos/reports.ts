import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BrokerReport, KeptReports } from './guarantees.ts'
import type { ChaosReport } from './run-chaos.ts'

/** The reports of runs that were kept: one folder for each kind of run, one file for each broker. */
export function readReports(): KeptReports {
  return {
    thirty: inFolder('reports/thirty'),
    long: inFolder('reports'),
    lately: inFolder('reports/lately'),
    asked: ['apart', 'operators', 'network', 'clock'].flatMap((kind) => inFolder(`reports/asked/${kind}`)),
    recovery: inFolder('reports/recovery'),
    outages: inFolder('reports/outages'),
    destinations: inFolder('reports/destinations'),
    longDestinations: inFolder('reports/destinations/long'),
  }
}

function inFolder(name: string): readonly BrokerReport[] {
  const folder = fileURLToPath(new URL(name, import.meta.url))
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => ({
      broker: basename(file, '.json'),
      report: JSON.parse(readFileSync(join(folder, file), 'utf8')) as ChaosReport,
    }))
}
