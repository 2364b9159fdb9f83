import type { KafkaJS } from '@confluentinc/kafka-javascript'
import type { Consumer as KafkajsConsumer, Kafka, Producer as KafkajsProducer } from 'kafkajs'
import { describe, expectTypeOf, it } from 'vitest'
import type { ConfluentKafka } from '../src/clients/confluent.ts'
import type { KafkajsKafka } from '../src/clients/kafkajs.ts'
import type { KafkaConsumer, KafkaConsumerOptions, KafkaProducer, KafkaPublisherOptions } from '../src/index.ts'

describe('the view of the client', () => {
  it('is fulfilled by kafkajs', () => {
    expectTypeOf<KafkajsProducer>().toExtend<KafkaProducer>()
    expectTypeOf<KafkajsConsumer>().toExtend<KafkaConsumer>()
  })

  it('lets kafkajs be written down as options', () => {
    expectTypeOf<() => KafkajsProducer>().toExtend<KafkaPublisherOptions['producer']>()
    expectTypeOf<KafkajsConsumer>().toExtend<KafkaConsumerOptions['consumer']>()
  })

  it('is made of the client of kafkajs and of that of Confluent', () => {
    expectTypeOf<Kafka>().toExtend<KafkajsKafka>()
    expectTypeOf<KafkaJS.Kafka>().toExtend<ConfluentKafka>()
  })
})
