import { execFileSync } from 'node:child_process'
import { canInstallDebianPackages, installDebianPackage } from '@malote/testing/services/debian-package'

/** Whether Prometheus' own tool is here; it is installed where that can be done. */
export function providePromtool(): boolean {
  try {
    execFileSync('promtool', ['--version'])
    return true
  } catch {
    if (!canInstallDebianPackages()) return false
    installDebianPackage('prometheus')
    return true
  }
}

/** The series that a scrape gave, each unchanged for five minutes. */
export function steadySeries(text: string): { series: string; values: string }[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({
      series: line.slice(0, line.lastIndexOf(' ')),
      values: `${line.slice(line.lastIndexOf(' ') + 1)}x10`,
    }))
}

/**
 * Promtool compares labels and texts too: asked whether nothing comes out, its answer says whether something does.
 *
 * @throws Error when the test itself is wrong
 */
export function comesOut(testFile: string): boolean {
  try {
    execFileSync('promtool', ['test', 'rules', testFile], { stdio: 'pipe' })
    return false
  } catch (error) {
    if (String((error as { stderr?: Buffer }).stderr).includes('got:')) return true
    throw error
  }
}
