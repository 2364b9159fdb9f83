import { join } from 'node:path'
import { jarFolder } from './maven-jars.ts'

/**
 * The class path of a broker.
 *
 * @throws Error saying which program is missing or what Maven said
 */
export function kafkaClassPath(version: string): string {
  const folder = jarFolder({
    folder: `kafka-${version}`,
    // The broker, and a logging backend: the artifact alone logs nowhere.
    artifacts: [
      { group: 'org.apache.kafka', artifact: 'kafka_2.13', version },
      { group: 'org.apache.logging.log4j', artifact: 'log4j-slf4j-impl', version: '2.24.3' },
    ],
    files: { 'log4j2.properties': logging },
    advice:
      'tests against Kafka cannot run: start Docker, install a Java 17 JDK and Maven, or set MALOTE_TEST_KAFKA_BROKERS to brokers that may be filled with test topics',
  })
  return join(folder, '*')
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
