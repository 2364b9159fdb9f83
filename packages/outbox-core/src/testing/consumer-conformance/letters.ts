import assert from 'node:assert/strict'
import { messagesTo } from '../an-outbox-message.ts'
import { PermanentFailure } from '../../errors.ts'
import type { ConformanceCase } from '../conformance.ts'
import type { ConsumerHarness } from './harness.ts'
import { recording, untilDeadLetters, untilHandled, watch, withConsumers } from './steps.ts'

type Case = ConformanceCase<ConsumerHarness>

/** Dead letters for which there is little room. */
export const letterCases: readonly Case[] = [
  {
    name: 'a record that leaves no room for a note is dead-lettered with all of its body, and what comes behind it goes on',
    needs: ['sendLargest'],
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        // Enough keys for every partition.
        const behind = messagesTo(topic, 20, (at) => ({ orderingKey: `key-${String(at)}` }))
        const recorded = recording()
        const seen = watch()

        const body = await harness.sendLargest!(topic)
        await harness.send(behind)
        await consume(topic, { handler: recorded.handler, onEvent: seen.onEvent })
        await untilHandled(harness, recorded, behind)
        const [letter] = await untilDeadLetters(harness, topic, 1)

        assert.ok(new TextDecoder().decode(letter?.body) === body, 'the body is whole')
        await seen.until('message.dead-lettered', harness)
      }),
  },
  {
    name: 'a message that is too large for the place for dead letters leaves a letter that fits and says what was left out and where it was; its key goes on',
    needs: ['narrowDeadLetterPlace'],
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const long = 'x'.repeat(8_000)
        // A key each: a broker may show of one key only the first letter.
        const [headers] = messagesTo(topic, 1, () => ({ orderingKey: 'headers', headers: { long } }))
        const [body] = messagesTo(topic, 1, () => ({ orderingKey: 'body', body: JSON.stringify(long) }))
        const behind = messagesTo(topic, 2, (at) => ({ orderingKey: at === 0 ? 'headers' : 'body' }))
        const recorded = recording(({ message }) => {
          if (message.id === headers!.id || message.id === body!.id) throw new PermanentFailure('never')
        })

        await harness.narrowDeadLetterPlace!(topic)
        await harness.send([headers!, body!, ...behind])
        await consume(topic, { handler: recorded.handler })
        await untilHandled(harness, recorded, behind)
        const letters = await untilDeadLetters(harness, topic, 2)

        const whole = letters.find(({ note }) => note?.omitted?.length === 1)
        const stub = letters.find(({ note }) => note?.omitted?.length === 2)
        assert.deepEqual(whole?.note?.omitted, ['headers'])
        assert.equal(new TextDecoder().decode(whole.body), headers!.body)
        assert.deepEqual(stub?.note?.omitted, ['headers', 'body'])
        for (const { note } of letters) {
          assert.deepEqual([note?.reason, note?.topic], ['PERMANENT', topic])
          assert.ok((note?.source ?? '') !== '' && (note?.position ?? '') !== '', 'it says where the message was')
        }
      }),
  },
]
