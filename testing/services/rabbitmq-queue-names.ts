import { globSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { HarnessError } from '../harness-error.ts'
import { scaled } from '../slowness.ts'

/** Where RabbitMQ notes which quorum queues it has, below the folder of its data. The format is Erlang's `dets`. */
const namesFile = '*/quorum/*/names.dets'

/** The last byte of the third word of a `dets` file: 1 when all that was written is saved, 0 between a write and the save of it. */
const markOffset = 11
const saved = 1

/** The mark of the file below `dataFolder`; saved where there is no file, for then there is no quorum queue either. */
export async function savedMark(dataFolder: string): Promise<number> {
  const path = globSync(join(dataFolder, namesFile))[0]
  if (path === undefined) return saved
  const file = await open(path)
  try {
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, markOffset)
    return buffer[0] ?? 0 // Empty: it is being made.
  } finally {
    await file.close()
  }
}

/** Looks at the mark until it says that everything is saved: the broker tells nobody. */
export async function untilSaved(readMark: () => Promise<number>): Promise<void> {
  const deadlineMs = Date.now() + scaled(20_000)
  while ((await readMark()) !== saved) {
    if (Date.now() >= deadlineMs) throw new HarnessError('RabbitMQ has not saved the names of its quorum queues')
    await pause(50)
  }
}
