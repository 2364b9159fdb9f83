import type { KafkaJS } from '@confluentinc/kafka-javascript'
import type { Consumer as KafkajsConsumer, Producer as KafkajsProducer } from 'kafkajs'
import { describe, expectTypeOf, it } from 'vitest'
import type { KafkaConsumer, KafkaConsumerOptions, KafkaProducer, KafkaPublisherOptions } from '../src/index.ts'

type ConfluentProducer = ReturnType<KafkaJS.Kafka['producer']>
type ConfluentConsumer = ReturnType<KafkaJS.Kafka['consumer']>

describe('the view of the client', () => {
  it('is fulfilled by kafkajs', () => {
    expectTypeOf<KafkajsProducer>().toExtend<KafkaProducer>()
    expectTypeOf<KafkajsConsumer>().toExtend<KafkaConsumer>()
  })

  it('is fulfilled by the KafkaJS-shaped client of Confluent', () => {
    expectTypeOf<ConfluentProducer>().toExtend<KafkaProducer>()
    expectTypeOf<ConfluentConsumer>().toExtend<KafkaConsumer>()
  })

  it('lets both be written down as options', () => {
    expectTypeOf<() => KafkajsProducer>().toExtend<KafkaPublisherOptions['producer']>()
    expectTypeOf<() => ConfluentProducer>().toExtend<KafkaPublisherOptions['producer']>()
    expectTypeOf<KafkajsConsumer>().toExtend<KafkaConsumerOptions['consumer']>()
    expectTypeOf<ConfluentConsumer>().toExtend<KafkaConsumerOptions['consumer']>()
  })
})
