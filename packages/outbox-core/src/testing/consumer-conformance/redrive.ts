import assert from 'node:assert/strict'
import { messagesTo } from '../an-outbox-message.ts'
import type { DeadLetterNote } from '../../dead-letter-note.ts'
import { PermanentFailure } from '../../errors.ts'
import type { ConformanceCase } from '../conformance.ts'
import { eventually } from '../eventually.ts'
import type { ConsumerHarness } from './harness.ts'
import { ids, recording, untilHandled, watch, withConsumers } from './steps.ts'

type Case = ConformanceCase<ConsumerHarness>

const ranOut = (note: DeadLetterNote | null): boolean => note?.reason === 'MAX_ATTEMPTS'

/** Dead letters that come back. */
export const redriveCases: readonly Case[] = [
  {
    name: 'a redrive brings back the dead letters its filter names, in order and with a full count; the others stay with their notes, and a dry run moves nothing',
    needs: ['redrive'],
    run: (harness) =>
      withConsumers(harness, async (consume) => {
        const topic = await harness.freshTopic()
        const unlucky = messagesTo(topic, 3, () => ({ orderingKey: 'unlucky' }))
        const [bad] = messagesTo(topic, 1, () => ({ orderingKey: 'bad' }))
        const stock = { isThere: false }
        const recorded = recording(({ message }) => {
          if (message.id === bad!.id) throw new PermanentFailure('never')
          if (!stock.isThere) throw new Error('no stock')
        })

        const seen = watch()

        await consume(topic, { handler: recorded.handler, maxAttempts: 2, onEvent: seen.onEvent })
        await harness.send([bad!, ...unlucky])
        await eventually(() => assert.equal(seen.of('message.dead-lettered').length, 4), {
          patienceMs: harness.patienceMs,
        })
        stock.isThere = true
        const calls = recorded.deliveries.length
        const dry = await harness.redrive!(topic, { where: ranOut, dryRun: true })
        // A broker may show of one stream only the first while nobody takes it away.
        assert.ok(dry.redriven >= 1 && dry.redriven <= 3 && dry.kept === 1, JSON.stringify(dry))
        assert.deepEqual(await harness.redrive!(topic, { where: ranOut }), { redriven: 3, kept: 1 })
        await untilHandled(harness, recorded, unlucky)

        const again = recorded.deliveries.slice(calls).map(({ message, attempt }) => `${message.id} ${String(attempt)}`)
        const expected = ids(unlucky).map((id) => `${id} 1`)
        if (harness.ordersRetries === true) assert.deepEqual(again, expected)
        else assert.deepEqual(again.toSorted(), expected.toSorted())
        assert.deepEqual(await harness.redrive!(topic, { where: ranOut }), { redriven: 0, kept: 1 })
        const left = (await harness.deadLetters(topic)).filter(({ id }) => id === bad!.id)
        assert.equal(left.at(-1)?.note?.reason, 'PERMANENT')
      }),
  },
]
