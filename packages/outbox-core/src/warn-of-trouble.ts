import type { ConsumerEvent } from './consumer.ts'
import type { RelayEvent } from './events.ts'

/**
 * What a relay or a consumer does with its events when nobody gave it `onEvent`: what keeps messages from moving, or loses their
 * order, becomes a process warning on stderr. A newcomer whose broker refuses must not look at silence.
 *
 * Each trouble is told once until it is over, so that a night's outage is one line and not ten thousand. Failures of handlers
 * are told once for each type of message.
 */
export function warnOfTrouble(): (event: RelayEvent | ConsumerEvent) => void {
  const told = new Set<string>()
  return (event) => {
    for (const over of endedBy(event)) told.delete(over)
    const trouble = troubleIn(event)
    if (trouble === null || told.has(trouble.key)) return
    told.add(trouble.key)
    process.emitWarning(`malote: ${trouble.words} (told once until it is over; onEvent tells everything)`, {
      type: 'MaloteWarning',
      code: trouble.code,
    })
  }
}

interface Trouble {
  /** The same for the same trouble. */
  readonly key: string
  readonly code: string
  readonly words: string
}

function troubleIn(event: RelayEvent | ConsumerEvent): Trouble | null {
  const trouble = (key: string, words: string): Trouble => ({ key, code: codeOf(event.type), words })
  switch (event.type) {
    case 'database.disconnected':
      return trouble('database', `the relay cannot work on its database and keeps trying: ${wordsOf(event.error)}`)
    case 'outage.started': {
      const who = event.destination === undefined ? 'the broker' : `the destination ${event.destination}`
      return trouble(
        `outage ${event.destination ?? ''}`,
        `${who} takes no messages; they wait: ${wordsOf(event.error)}`,
      )
    }
    case 'doorbell.unavailable':
      return trouble('doorbell', `the relay polls, because LISTEN does not work here: ${event.reason}`)
    case 'key.held':
      return trouble(
        'held',
        `a key of topic "${event.topic}" is held behind dead letter ${event.id}: see \`malote held-keys\``,
      )
    case 'stream.held':
      return trouble(
        'stream',
        `a stream of topic "${event.topic}" is held behind message ${event.id}: see \`malote held-streams\``,
      )
    case 'consumer.store-failed':
      return trouble('store', `the consumer store does not answer: ${wordsOf(event.error)}`)
    case 'rescan.found-missed':
      return trouble('missed', `${String(event.messages)} messages had been passed: somebody writes seq values by hand`)
    case 'maintenance.failed':
      return trouble(`maintenance ${event.task}`, `${event.task} is not kept in order: ${wordsOf(event.error)}`)
    case 'consumer.disconnected':
      return trouble('consumer', `the consumer has no connection and keeps trying: ${wordsOf(event.error)}`)
    case 'consumer.paused':
      return trouble('paused', `the consumer is paused, ${event.reason}: ${wordsOf(event.error)}`)
    case 'message.failed':
      return trouble(
        `failed ${event.messageType}`,
        `the handler failed on a "${event.messageType}" message: ${wordsOf(event.error)}`,
      )
    case 'message.unknown-type':
      return trouble(
        `type ${event.messageType}`,
        `no code handles a "${event.messageType}" message: its type is unknown here, or its payload does not fit the catalog. It comes again later`,
      )
    case 'message.dead-letter-failed':
      return trouble(
        'place',
        `the place for dead letters refuses, so message ${String(event.id)} waits: ${wordsOf(event.error)}`,
      )
    case 'message.dead-lettered':
      return trouble(
        'dead',
        `message ${String(event.id)} is a dead letter, ${event.reason}${'error' in event ? `: ${wordsOf(event.error)}` : ` (${event.code})`}`,
      )
    default:
      return null
  }
}

/** What is over when this has happened. */
function endedBy(event: RelayEvent | ConsumerEvent): readonly string[] {
  switch (event.type) {
    case 'database.reconnected':
    case 'lanes.acquired':
      return ['database']
    case 'outage.ended':
      return [`outage ${event.destination ?? ''}`]
    case 'consumer.reconnected':
    case 'consumer.started':
      return ['consumer']
    case 'maintenance.done':
      return [`maintenance ${event.task}`]
    case 'consumer.resumed':
      return ['paused']
    default:
      return []
  }
}

const codeOf = (type: string): string => `MALOTE_${type.toUpperCase().replaceAll(/[.-]/g, '_')}`

/** An error's own words; those within it when it has none, as when every address of a host refuses. */
function wordsOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(wordsOf).join('; ')
  return error instanceof Error ? error.message || error.name : String(error)
}
