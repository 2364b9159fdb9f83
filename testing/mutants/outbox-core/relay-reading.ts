import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/outbox-core')

/** Reading, and the floor. */
export const mutants: readonly Mutant[] = [
  ...of('relay/floor.ts', 'relay/floor.test.ts', [
    [
      'the floor rises to what was drawn, not to what was drawn a barrier ago',
      'delivered',
      'this.#bound = this.#drawn\n',
      'this.#bound = drawn\n',
    ],
    [
      'the floor ignores who still writes',
      'delivered',
      'if (!writer.isOld) this.#bound = Math.min(this.#bound, writer.above)',
      '',
    ],
    [
      'a new writer is thought to have drawn only what comes later',
      'delivered',
      ': this.#drawnBefore\n',
      ': this.#drawn\n',
    ],
    [
      'the floor rises with the bound of now, not with that of when the read began',
      'delivered',
      'Math.min(this.#boundOfRead, reach(lane))',
      'Math.min(this.#bound, reach(lane))',
    ],
    [
      'a lane that hit its limit counts as read to the end',
      'delivered',
      'Math.min(this.#boundOfRead, reach(lane))',
      'this.#boundOfRead',
    ],
    ['a read during which an old writer ended is used', 'ordered', 'if (this.#oldOneEnded) return false', ''],
    [
      'the end of an old writer sends no lane back',
      'delivered',
      'for (const lane of this.#floors.keys()) this.rewind(lane, writer.above + 1)',
      '',
    ],
    ['a running read undoes a rewind', 'delivered', 'Math.min(raised, this.#rewinds.get(lane) ?? raised)', 'raised'],
    ['a rewind stops one short', 'delivered', 'const below = seq - 1', 'const below = seq'],
  ]),
  ...of('relay/message-of-row.ts', 'race/reading.pg.test.ts', [
    [
      'what has ended relays to the last attempt is read again',
      'bounded',
      'const isSpent = row.died_among === 1 && row.attempts >= maxAttempts',
      'const isSpent = maxAttempts === 0',
    ],
  ]),
  ...of('relay/read-loop.ts', 'statement-counts.pg.test.ts', [
    [
      'very many blocked orders are looked at all at once',
      'bounded',
      'const turns = reader.blockedCount > fewBlocked ? netTurns : 1',
      'const turns = 1',
    ],
    [
      'whoever wrote as the relay began has its first read repeated',
      'bounded',
      'if (isFirst) await this.#dateWriters()',
      '',
    ],
  ]),
  ...of('relay/reader.ts', 'statement-counts.pg.test.ts', [
    [
      'the look below the floors of a few lanes names what is blocked in all',
      'bounded',
      'blockedStreams: exclusions.blockedStreams(numbers)',
      'blockedStreams: exclusions.blockedStreams()',
    ],
  ]),
  ...of('relay/reader.ts', 'race/reading.pg.test.ts', [
    [
      'a read that the server cancelled ends the session',
      'delivered',
      'if (sqlStateOf(error) !== cancelled ||',
      'if (',
    ],
    ['a read that was cancelled is sent again for as much', 'bounded', 'this.#portion /= 2', ''],
    [
      'a read that was cancelled counts as one that found nothing',
      'delivered',
      'this.#readLess(error))\n    if (rows === null) return { messages: 0, isPartial: true }\n    if (floor',
      'this.#readLess(error) ?? [])\n    if (floor',
    ],
    [
      'what may have ended other relays is read without being named',
      'bounded',
      'if (suspect === undefined) return',
      'if (suspect !== null) return',
    ],
  ]),
  ...of('relay/reader.ts', 'foreign-database.pg.test.ts', [
    ['a sequence that goes back is not noticed', 'delivered', 'if (drawn < this.#drawn)', 'if (drawn < 0)'],
  ]),
  ...of('relay/scheduled.ts', 'foreign-rows.pg.test.ts', [
    [
      'one scheduled row that cannot be moved keeps all others',
      'delivered',
      'if (!isRefused(error)) throw error\n      if (limit',
      'throw error\n      if (limit',
    ],
  ]),
]
