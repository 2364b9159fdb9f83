import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { canInstallDebianPackages, installDebianPackage } from './debian-package.ts'

const toolsDir = join(import.meta.dirname, '..', '..', '.tools')

/**
 * The class path of a broker, from Maven Central through this host's Maven, kept in `.tools/kafka-<version>`.
 *
 * @throws Error saying which program is missing or what Maven said
 */
export function kafkaClassPath(version: string): string {
  const folder = join(toolsDir, `kafka-${version}`)
  if (!hasJava()) install()
  if (!existsSync(join(folder, 'complete'))) download(version, folder)
  return join(folder, '*')
}

function hasJava(): boolean {
  const found = spawnSync('java', ['-version'], { encoding: 'utf8' })
  return found.status === 0 && Number(/version "(\d+)/.exec(found.stderr)?.[1]) >= 17
}

function hasMaven(): boolean {
  return spawnSync('mvn', ['--version']).status === 0
}

function install(): void {
  if (!canInstallDebianPackages())
    throw new Error(
      'tests against Kafka cannot run: start Docker, install Java 17 and Maven, or set MALOTE_TEST_KAFKA_BROKERS to brokers that may be filled with test topics',
    )
  if (!hasJava()) installDebianPackage('openjdk-17-jre-headless')
  if (!hasMaven()) installDebianPackage('maven')
}

/** Downloads beside the folder and renames, so that a broken or a second download leaves nothing half done. */
function download(version: string, folder: string): void {
  if (!hasMaven()) install()
  const partial = `${folder}.partial-${String(process.pid)}`
  mkdirSync(partial, { recursive: true })
  writeFileSync(join(partial, 'pom.xml'), projectFor(version))
  const goal = [
    '-B',
    '-q',
    '-f',
    join(partial, 'pom.xml'),
    'dependency:copy-dependencies',
    `-DoutputDirectory=${partial}`,
  ]
  const copied = spawnSync('mvn', goal, { encoding: 'utf8' })
  if (copied.status !== 0) {
    rmSync(partial, { recursive: true, force: true })
    throw new Error(`Maven could not fetch Kafka ${version}:\n${`${copied.stdout}${copied.stderr}`.slice(-2_000)}`)
  }
  writeFileSync(join(partial, 'log4j2.properties'), logging)
  writeFileSync(join(partial, 'complete'), '')
  if (existsSync(join(folder, 'complete'))) return rmSync(partial, { recursive: true })
  rmSync(folder, { recursive: true, force: true })
  renameSync(partial, folder)
}

/** The broker, its command for formatting storage, and a logging backend: the artifact alone logs nowhere. */
function projectFor(version: string): string {
  const dependency = (group: string, artifact: string, version: string): string =>
    `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`
  return `<project><modelVersion>4.0.0</modelVersion><groupId>malote</groupId><artifactId>kafka</artifactId><version>1</version>
<dependencies>${dependency('org.apache.kafka', 'kafka_2.13', version)}
${dependency('org.apache.logging.log4j', 'log4j-slf4j-impl', '2.24.3')}</dependencies></project>`
}

const logging = `rootLogger.level=warn
rootLogger.appenderRef.stderr.ref=stderr
appender.stderr.type=Console
appender.stderr.name=stderr
appender.stderr.target=SYSTEM_ERR
appender.stderr.layout.type=PatternLayout
appender.stderr.layout.pattern=%d{ISO8601} %p %c{1} %m%n
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
`
