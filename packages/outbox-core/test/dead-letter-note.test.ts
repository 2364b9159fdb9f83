import { expect, it } from 'vitest'
import { encodeDeadLetterNote, maxNoteBytes } from '../src/adapter/index.ts'
import { readDeadLetterNote } from '../src/index.ts'

it.each(['x'.repeat(5_000), '😀'.repeat(400), '\u0000'.repeat(400)])(
  'a note fits into the room kept for it, whatever the error says, and can be read again (%#)',
  (error) => {
    const note = {
      reason: 'PERMANENT',
      attempts: 5,
      error,
      source: 's'.repeat(80),
      topic: 't'.repeat(100),
      at: '',
    } as const

    const json = encodeDeadLetterNote(note)

    expect(Buffer.byteLength(json)).toBeLessThanOrEqual(maxNoteBytes)
    expect(readDeadLetterNote({ 'malote-dead-letter': json })).toMatchObject({ reason: 'PERMANENT', attempts: 5 })
  },
)
