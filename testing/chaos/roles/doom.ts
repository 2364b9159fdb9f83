import type { Publisher, PublishResult } from '../library.ts'

/** Type of messages that no broker takes, by decree. */
export const doomedType = 'chaos.doomed'

/** Type of messages that every broker takes and no consumer can ever handle. */
export const refusedType = 'chaos.refused'

/** Refuses the doomed and passes on the rest: their neighbours must not suffer. */
export function doomingPublisher(publisher: Publisher): Publisher {
  return {
    name: publisher.name,
    close: () => publisher.close(),
    publish: async (batch, signal) => {
      const sound = batch.filter(({ type }) => type !== doomedType)
      const refused = batch.filter(({ type }) => type === doomedType).map(({ id }) => refusal(id))
      return [...(await publisher.publish(sound, signal)), ...refused]
    },
  }
}

const refusal = (id: string): PublishResult => ({
  id,
  status: 'failed',
  failure: { kind: 'retryable', code: 'DOOMED', message: 'made to fail by the chaos runner' },
})
