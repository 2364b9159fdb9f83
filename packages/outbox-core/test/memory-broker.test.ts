import { describeConformance } from '@malote/testing/conformance'
import { publisherConformance } from '../src/testing/index.ts'
import { absences, createMemoryHarness } from './memory-harness.ts'

const harness = createMemoryHarness((create) => create())
describeConformance('publisher', 'memory', publisherConformance, () => harness, absences)
