import type { OutboxMessage } from '../message.ts'

/** One way to answer that breaks the contract of `Publisher`. */
export interface HostileResult {
  readonly name: string
  /** What `publish` resolves with for this batch. */
  readonly answer: (batch: readonly OutboxMessage[]) => unknown
}

const statuses: readonly unknown[] = [
  'Accepted',
  'ACCEPTED',
  'ok',
  'Failed',
  'rejected',
  'fulfilled',
  undefined,
  null,
  true,
  200,
  {},
]
const answers: readonly unknown[] = [undefined, null, 'accepted', 3, {}, { length: 3 }, true]
const failures: readonly (readonly [name: string, failure: unknown])[] = [
  ['undefined', undefined],
  ['null', null],
  ['words alone', 'throttled'],
  ['a number', 3],
  ['without code and message', { kind: 'retryable' }],
  ['with a code that is a number', { kind: 'retryable', code: 429, message: 'slow' }],
  ['of a kind that nobody knows', { kind: 'fatal', code: 'X', message: 'm' }],
  ['unavailable without a destination', { kind: 'unavailable', code: 'X', message: 'm' }],
  ['with retryAfterMs NaN', { kind: 'retryable', code: 'X', message: 'm', retryAfterMs: Number.NaN }],
  ['with retryAfterMs Infinity', { kind: 'retryable', code: 'X', message: 'm', retryAfterMs: Infinity }],
  ['with text that PostgreSQL cannot store', { kind: 'retryable', code: 'a\0b', message: '\ud800' }],
]

const eachMessage = (name: string, result: (message: OutboxMessage) => unknown): HostileResult => ({
  name,
  answer: (batch) => batch.map(result),
})

/**
 * Answers that a publisher written in JavaScript, or a broker behind it, may come up with although the contract forbids them.
 * Whatever reads results must survive each, and take none for an acceptance: not one of them accepts a message of the batch.
 */
export const hostileResults: readonly HostileResult[] = [
  ...answers.map((answer) => ({ name: `no array: ${JSON.stringify(answer)}`, answer: () => answer })),
  { name: 'no results', answer: () => [] },
  eachMessage('undefined results', () => undefined),
  eachMessage('results that are null', () => null),
  eachMessage('acceptances without an id', () => ({ status: 'accepted' })),
  eachMessage('acceptances whose id is no text', () => ({ id: 1, status: 'accepted' })),
  eachMessage('acceptances of messages that were not given', ({ id }) => ({ id: `${id}-other`, status: 'accepted' })),
  eachMessage('results without a status', ({ id }) => ({ id })),
  eachMessage('results whose status throws', ({ id }) => ({
    id,
    get status(): string {
      throw new Error('no status')
    },
  })),
  ...statuses.map((status) => eachMessage(`status ${JSON.stringify(status)}`, ({ id }) => ({ id, status }))),
  ...failures.map(([name, failure]) =>
    eachMessage(`a failure ${name}`, ({ id }) => ({ id, status: 'failed', failure })),
  ),
]
