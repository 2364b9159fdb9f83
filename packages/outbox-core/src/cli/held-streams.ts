import { createHeldStreams } from '../held-streams.ts'
import { confirmed, decision, report, UsageError, type Verb } from './invocation.ts'
import { iso, table } from './output.ts'

export const listHeldStreams: Verb<{ consumer?: string; limit?: number }> = async (invocation) => {
  const { consumer, limit } = invocation.flags
  const filter = { ...(consumer === undefined ? {} : { consumer }), ...(limit === undefined ? {} : { limit }) }
  const streams = await createHeldStreams({ db: invocation.client, ...invocation.schema }).list(filter)
  const rows = streams.map((stream) => [
    stream.consumer,
    stream.topic,
    stream.orderingKey,
    stream.isHeld ? 'held' : 'released',
    iso(stream.heldAt),
    stream.waiting,
    stream.deadMessageId,
    stream.note === null ? null : `${stream.note.reason} ${stream.note.error.slice(0, 80)}`,
  ])
  const head = ['consumer', 'topic', 'key', 'state', 'held', 'waiting', 'dead message', 'why']
  invocation.output.print(streams, table([head, ...rows]))
  return 0
}

export const releaseHeldStream: Verb<{ retry?: boolean; discard?: boolean }> = async (invocation) => {
  const [consumer = '', topic = '', orderingKey = ''] = invocation.words
  const { retry = false, discard = false } = invocation.flags
  if (retry === discard) throw new UsageError('with the dead letter or without it? say --retry or --discard')
  if (discard && !(await confirmed(invocation, 'Delete the dead letter for ever and go on behind it?'))) return 1
  const streams = createHeldStreams({ db: invocation.client, ...invocation.schema })
  const what = retry ? 'retry' : 'discard'
  const isReleased = await streams.release({ consumer, topic, orderingKey }, what, decision(invocation))
  return report(invocation, 'released', isReleased ? 1 : 0, 1)
}
