import type { Patch, PromiseName } from '../mutants/mutant.ts'

/** Judges that can be shown to say no, by the file that lets them judge. SPIN's are in `spin-systems.ts`. */
export const judgeFiles = {
  pika: 'python',
  confluent_kafka: 'python',
  boto3: 'python',
  'CloudEvents SDK on pika': 'python',
  'CloudEvents SDK on confluent_kafka': 'python',
  'CloudEvents SDK on boto3': 'python',
  ElasticMQ: 'sqs',
  moto: 'sqs',
  'RabbitMQ 4': 'rabbitmq',
  '@confluentinc/kafka-javascript': 'confluent',
  NATS: 'nats',
  Schemathesis: 'schemathesis',
} as const

export type JudgeName = keyof typeof judgeFiles

/** A patch, and the judges that must refuse it. */
export interface PlantedForJudges extends Patch {
  readonly promise: PromiseName
  readonly judges: readonly JudgeName[]
  /** The case of the kits that must fail, where the judge takes part in them. */
  readonly case?: string
  /** How the judge words its objection. */
  readonly says: RegExp
}

const sqs = 'packages/adapter-sqs/src'
const rabbitmq = 'packages/adapter-rabbitmq/src'
const kafka = 'packages/adapter-kafka/src'
const nats = 'docs/snippets/nats-publisher.ts'
const natsPublish = 'await stream.publish(message.topic, message.body, { headers: encoded, timeout: timeoutMs })'

/**
 * One at least for each judge, and for each promise that a broker or a client of one can see. None of them sees a transaction, a lane or a cut-off:
 * of those SPIN is the judge.
 */
export const plantedForJudges: readonly PlantedForJudges[] = [
  {
    name: 'a body is encoded twice',
    promise: 'foreign',
    file: `${rabbitmq}/encode.ts`,
    find: 'Buffer.from(message.body) : bytes(message.body)',
    replace: 'Buffer.from(JSON.stringify(message.body)) : bytes(message.body)',
    judges: ['pika'],
    says: /body is "/,
  },
  {
    name: 'events have a version that CloudEvents does not know',
    promise: 'foreign',
    file: `${rabbitmq}/encode.ts`,
    find: 'const headers = encodeAttributes(message, { prefix: prefixes, source: options.source })',
    replace:
      "const headers = encodeAttributes(message, { prefix: prefixes, source: options.source })\n  for (const prefix of prefixes) headers[`${prefix}specversion`] = '1'",
    judges: ['CloudEvents SDK on pika'],
    says: /Attribute 'specversion' must be '1.0'/,
  },
  {
    name: 'the time of an event is written as HTTP writes it',
    promise: 'foreign',
    file: `${kafka}/encode.ts`,
    find: 'if (topic !== kafkaTopic) headers',
    replace: 'headers[`${attributePrefix}time`] = message.createdAt.toUTCString()\n  if (topic !== kafkaTopic) headers',
    judges: ['CloudEvents SDK on confluent_kafka'],
    says: /ValueError: Expected 4 digits, got '\w+,'/,
  },
  {
    name: 'attributes have a prefix that SQS does not use',
    promise: 'foreign',
    file: `${sqs}/encode.ts`,
    find: "attributePrefix = 'ce-'",
    replace: "attributePrefix = 'ce_'",
    judges: ['CloudEvents SDK on boto3'],
    says: /Missing required attribute: 'source'/,
  },
  {
    name: 'a record has not its ordering key',
    promise: 'ordered',
    file: `${kafka}/encode.ts`,
    find: 'key: message.orderingKey ?? message.id',
    replace: 'key: message.id',
    judges: ['confluent_kafka'],
    says: /key is "[^"]+", not "conta-1"/,
  },
  {
    name: 'a message without a key counts as accepted and is not sent',
    promise: 'delivered',
    file: `${sqs}/batch-publisher.ts`,
    find: 'if (destination === undefined) tally.fail(',
    replace:
      'if (message.orderingKey === null) tally.accept(message)\n    else if (destination === undefined) tally.fail(',
    judges: ['boto3'],
    says: /was not read/,
  },
  {
    name: 'what comes behind a message that is too large is sent',
    promise: 'ordered',
    file: `${sqs}/batch-publisher.ts`,
    find: 'if (tally.failIfBlocked(message)) return []',
    replace: '',
    judges: ['ElasticMQ'],
    case: 'when the 3rd of 10 messages of a key is too large, exactly the first two of the key are accepted',
    says: /the broker holds nothing of the key past the refused message/,
  },
  {
    name: 'a message is acknowledged before it is handled',
    promise: 'once',
    file: `${sqs}/handle-message.ts`,
    find: 'const end = await this.#parts.processor.process(inHand)',
    replace:
      "await this.#acknowledger.acknowledge(hold.raw.ReceiptHandle ?? '')\n    const end = await this.#parts.processor.process(inHand)",
    judges: ['ElasticMQ', 'moto'],
    case: 'a crash while the handler runs has the message delivered again: it was not acknowledged before',
    says: /messages not applied/,
  },
  {
    name: 'a delivery that is no attempt counts as one',
    promise: 'innocent',
    file: `${sqs}/handle-message.ts`,
    find: 'if (isFree) this.#free.add(idOf(hold))',
    replace: '',
    judges: ['ElasticMQ', 'moto'],
    case: 'an unknown type comes again as often as it must and spends no attempts',
    says: /1 of 1 messages not handled/,
  },
  {
    name: 'what no queue took counts as accepted',
    promise: 'delivered',
    file: `${rabbitmq}/send-round.ts`,
    find: "if (confirm.kind === 'accepted') order",
    replace: "if (confirm.kind === 'accepted' || confirm.kind === 'returned') order",
    judges: ['RabbitMQ 4'],
    case: 'a missing destination is unavailable, by a name that stays the same, and neighbours are accepted',
    says: /is not accepted/,
  },
  {
    name: 'what comes behind a failure is sent',
    promise: 'ordered',
    file: `${rabbitmq}/batch-order.ts`,
    find: 'for (let later = successors.get(index); later !== undefined; later = successors.get(later))\n      settle(later, predecessorFailed)',
    replace: 'const next = successors.get(index)\n    if (next !== undefined) ready.push(next)',
    judges: ['RabbitMQ 4'],
    case: 'when the broker refuses the 3rd of 10 messages of a key, exactly the first two of the key are accepted',
    says: /strictly deep-equal/,
  },
  {
    name: 'messages of one key are handled beside each other',
    promise: 'ordered',
    file: `${rabbitmq}/handle-message.ts`,
    find: 'await keys.run(turn, ',
    replace: 'await keys.run(null, ',
    judges: ['RabbitMQ 4'],
    case: 'messages of one key are handled one after the other, in order where the broker keeps it, while other keys go on beside them',
    says: /'key-\d'/,
  },
  {
    name: 'a client sends the last record first',
    promise: 'ordered',
    file: `${kafka}/clients/confluent.ts`,
    find: 'messages.map((record)',
    replace: 'messages.toReversed().map((record)',
    judges: ['@confluentinc/kafka-javascript'],
    case: 'one key of 200 messages arrives in the order it was given',
    says: /kafka \(confluent\) one key of 200 messages[^]*deep-equal/,
  },
  {
    name: 'a publisher does not wait for the answer',
    promise: 'delivered',
    file: nats,
    find: natsPublish,
    replace: natsPublish.replace('await', 'void').concat('.catch(() => {})'),
    judges: ['NATS'],
    case: 'a missing destination is unavailable, by a name that stays the same, and neighbours are accepted',
    says: /is not accepted/,
  },
  {
    name: 'each message is sent twice',
    promise: 'unrepeated',
    file: nats,
    find: natsPublish,
    replace: `${natsPublish}\n        ${natsPublish}`,
    judges: ['NATS'],
    case: 'every message has one result with its id, and the broker holds what was accepted',
    says: /deep-equal/,
  },
  {
    name: 'a refusal does not say why',
    promise: 'refused',
    file: 'examples/brokerage/src/api/problem.ts',
    find: 'return { type, title, status, code, ...',
    replace: 'return { type, title, status, ...',
    judges: ['Schemathesis'],
    says: /"code" is a required property/,
  },
]
