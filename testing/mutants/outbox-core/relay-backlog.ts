import { type Mutant, mutantsIn } from '../mutant.ts'

const of = mutantsIn('packages/outbox-core')

/** What the relay knows and has not settled, and what closes the way to it. */
export const mutants: readonly Mutant[] = [
  ...of('relay/backlog.ts', 'relay/backlog.test.ts', [
    [
      'messages that try a destination do not count in the memory',
      'bounded',
      'maxBytes - this.bytes))',
      'Number.POSITIVE_INFINITY))',
    ],
    [
      'what waits behind a dead letter that holds its key goes on until the next look',
      'ordered',
      'for (const message of held) this.#ways.hold(message)',
      '',
    ],
    [
      'a probe sends what was behind a message that has gone back to the table meanwhile',
      'ordered',
      ' || this.#stale.has(stream) || !this.#ways.isOpen',
      ' || !this.#ways.isOpen',
    ],
    [
      'what waited is taken from a read during which something before it failed',
      'ordered',
      ' || this.#stale.has(stream) || !this.#ways.takesWaiting',
      ' || !this.#ways.takesWaiting',
    ],
  ]),
  ...of('relay/backlog.ts', 'relay/dispatcher-model.test.ts', [
    [
      'what waits behind a failed message stays in memory',
      'ordered',
      'this.#stale.note(stream)\n      this.#dropStream(stream)',
      'this.#stale.note(stream)',
    ],
    [
      'what waits of a stream that is found blocked stays in memory',
      'ordered',
      'if (isBlocked(name, lane)) this.#dropClosed(name)',
      'void [name, lane]',
    ],
    [
      'what waits of a suspended topic stays in memory',
      'outage',
      'for (const message of this.#schedule.dropTopic(topic)) this.#leave(message)',
      '',
    ],
    [
      'what waits of a lane that leaves stays in memory',
      'owned',
      'for (const message of this.#schedule.dropLane(lane)) this.#return(message)',
      '',
    ],
    [
      'what comes back from an outage is sent though its stream was blocked meanwhile',
      'ordered',
      'if (!this.#ways.isInTurn(message)) return',
      'if (!this.#ways.isInTurn({ ...message, stream: null })) return',
    ],
  ]),
  ...of('relay/batch.ts', 'large-bodies.pg.test.ts', [
    ['a publish holds any number of bytes', 'bounded', '(bytes <= this.#bytesLeft && !this', '(!this'],
  ]),
  ...of('relay/batch.ts', 'foreign-database.pg.test.ts', [
    ['an id stands twice in a batch', 'delivered', ' && !this.#ids.has(message.id)', ''],
  ]),
  ...of('relay/blocks.ts', 'relay/dispatcher-model.test.ts', [
    [
      'a replayed message is overtaken by those behind it that were read',
      'ordered',
      '(block.isHeld || seq > block.unreadFrom)',
      'block.isHeld',
    ],
  ]),
  ...of('relay/blocks.ts', 'relay/blocks.test.ts', [
    [
      'a crowd of blocked orders is brought by every read',
      'bounded',
      'const isCrowded = Math.max(this.#atBottom, this.#seen.size) >= crowd && size',
      'const isCrowded = size < 0 && size',
    ],
    [
      'whoever takes lanes over brings a crowd of blocked orders once',
      'bounded',
      'if (from <= 1) this.#atBottom += lane.size',
      'if (from <= 0) this.#atBottom += lane.size',
    ],
    [
      'blocked orders that a read brought are named for ever',
      'bounded',
      'if (seq < (froms.get(lane) ?? 0)) this.#seen.delete(stream)',
      'if (seq < 0) this.#seen.delete(stream)',
    ],
  ]),
  ...of('relay/exclusions.ts', 'relay/backlog.test.ts', [
    [
      'what waits of a stream is read again beside what was read of it',
      'ordered',
      'closed([...memory.waitedStreams(), ...resting.names()], lanes)',
      'closed([...resting.names()], lanes)',
    ],
  ]),
  ...of('relay/exclusions.ts', 'race/reading.pg.test.ts', [
    [
      'a read brings what is in flight once more',
      'unrepeated',
      'if (!isAboveFloor || seq > floor.of(lane)) seqs.push(seq)',
      '',
    ],
  ]),
  ...of('relay/lane-blocks.ts', 'relay/backlog.test.ts', [
    [
      'an older look at blocks lets go what a dead letter holds by now',
      'ordered',
      'block.isHeld = isHeld || block.heldIn >= begun ||',
      'block.isHeld = isHeld ||',
    ],
    [
      'a key that was let go stays held by a look that shows the same as before',
      'delivered',
      'block.isHeld && block.heldIn < begun)',
      'block.isHeld)',
    ],
    [
      'what waits of a stream is read beside a failure that is not written down',
      'ordered',
      'isHeld || pending > 0',
      'isHeld',
    ],
  ]),
  ...of('relay/lane-blocks.ts', 'relay/blocks.test.ts', [
    [
      'a held key is read again from where the last read passed it by, not the lowest',
      'delivered',
      'this.#sealed.fromSeq = Math.min(this.#sealed.fromSeq, from)',
      'this.#sealed.fromSeq = from',
    ],
    [
      'a read that goes back does not say so to orders that were passed by before',
      'delivered',
      'from < this.#readFrom ? this.#blocks.values() : this.#fresh',
      'this.#fresh',
    ],
    [
      'a key that nobody asked for before it was let go is forgotten without its messages',
      'delivered',
      'this.#open(stream, { ...newBlock(), fromSeq, isHeld: true, changedIn: seenIn, seenIn })',
      'this.#open(stream, { ...newBlock(), isHeld: true, changedIn: seenIn, seenIn })',
    ],
  ]),
  ...of('relay/ways.ts', 'relay/dispatcher-model.test.ts', [
    [
      'what was read behind a replayed message stays in memory',
      'ordered',
      'ours.has(lane) && this.#blocks.has(stream, lane)',
      'ours.has(lane) && this.#blocks.isHeld(stream, lane)',
    ],
  ]),
]
