import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { canInstallDebianPackages, installDebianPackage } from './debian-package.ts'

const toolsDir = join(import.meta.dirname, '..', '..', '.tools')

/** What to fetch from Maven Central. */
export interface JarSet {
  /** The folder in `.tools`, for example `kafka-4.1.1`. Change it when the artifacts change. */
  readonly folder: string
  readonly artifacts: readonly { readonly group: string; readonly artifact: string; readonly version: string }[]
  /** Further files beside the jars, by name. */
  readonly files?: Readonly<Record<string, string>>
  /** What to say when Java or Maven are missing and cannot be installed. */
  readonly advice: string
}

/**
 * A folder with the jars, their dependencies and the further files: fetched once by this host's Maven, kept in `.tools`.
 *
 * @throws Error with the advice, or with what Maven said
 */
export function jarFolder(set: JarSet): string {
  const folder = join(toolsDir, set.folder)
  provide('java', 'openjdk-17-jdk-headless', hasJava, set)
  if (existsSync(join(folder, 'complete'))) return folder
  provide('mvn', 'maven', hasMaven, set)
  download(set, folder)
  return folder
}

/** The compiler too: a JDK, not a runtime. */
function hasJava(): boolean {
  const found = spawnSync('javac', ['-version'], { encoding: 'utf8' })
  return found.status === 0 && Number(/javac (\d+)/.exec(`${found.stdout}${found.stderr}`)?.[1]) >= 17
}

function hasMaven(): boolean {
  return spawnSync('mvn', ['--version']).status === 0
}

function provide(program: string, debianPackage: string, has: () => boolean, set: JarSet): void {
  if (has()) return
  if (!canInstallDebianPackages()) throw new Error(`${set.advice} (no ${program} here)`)
  installDebianPackage(debianPackage)
}

/** Downloads beside the folder and renames, so that a broken or a second download leaves nothing half done. */
function download(set: JarSet, folder: string): void {
  const partial = `${folder}.partial-${String(process.pid)}`
  const project = join(partial, 'pom.xml')
  mkdirSync(partial, { recursive: true })
  writeFileSync(project, projectFor(set))
  const goal = ['-B', '-q', '-f', project, 'dependency:copy-dependencies', `-DoutputDirectory=${partial}`]
  const copied = spawnSync('mvn', goal, { encoding: 'utf8' })
  if (copied.status !== 0) {
    rmSync(partial, { recursive: true, force: true })
    throw new Error(`Maven could not fetch ${set.folder}:\n${`${copied.stdout}${copied.stderr}`.slice(-2_000)}`)
  }
  for (const [name, text] of Object.entries(set.files ?? {})) writeFileSync(join(partial, name), text)
  writeFileSync(join(partial, 'complete'), '')
  if (existsSync(join(folder, 'complete'))) return rmSync(partial, { recursive: true })
  rmSync(folder, { recursive: true, force: true })
  renameSync(partial, folder)
}

function projectFor(set: JarSet): string {
  const dependencies = set.artifacts.map(
    ({ group, artifact, version }) =>
      `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`,
  )
  return `<project><modelVersion>4.0.0</modelVersion><groupId>malote</groupId><artifactId>jars</artifactId><version>1</version>
<dependencies>${dependencies.join('\n')}</dependencies></project>\n`
}
