import { expect, it } from 'vitest'
import { demo } from './run-demo-process.ts'

it.each(['rabbitmq', 'kafka', 'sqs'])(
  'on %s an outage in the middle of the run costs no message and no attempt',
  async (broker) => {
    const summary = await demo('--orders', '60', '--seed', '4', '--broker', broker, '--broker-outage', '3')

    expect(summary).toMatchObject({ lost: 0, keyOrderViolations: 0, ledgerSum: 0, deadLetters: 0, relayKills: 3 })
    expect(summary.effectsApplied).toBe(summary.messagesPublished)
  },
)
