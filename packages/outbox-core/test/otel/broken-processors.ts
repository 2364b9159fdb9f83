import type { SpanProcessor } from '@malote/testing/telemetry'

const nothing: SpanProcessor = {
  onStart: () => {},
  onEnd: () => {},
  forceFlush: async () => {},
  shutdown: async () => {},
}
const fail = (): never => {
  throw new Error('telemetry broke')
}

/** Span processors, such as somebody's exporter may bring, that throw at one moment of a span's life. */
export const brokenProcessors: readonly (readonly [moment: string, processor: SpanProcessor])[] = [
  ['starts', { ...nothing, onStart: fail }],
  ['is ending', { ...nothing, onEnding: fail }],
  ['has ended', { ...nothing, onEnd: fail }],
]
