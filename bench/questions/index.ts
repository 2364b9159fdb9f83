import type { Benchmark } from '../harness/benchmark.ts'
import { addMany } from './add-many.ts'
import { addOne } from './add-one.ts'
import { commits } from './commits.ts'
import { doorbell } from './doorbell.ts'

/** Every question, in the order of the table. */
export const questions: readonly Benchmark[] = [addOne, addMany, commits, doorbell]
