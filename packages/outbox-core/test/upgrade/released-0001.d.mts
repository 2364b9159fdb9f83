export { createOutbox, createRelay } from '../../src/index.ts'
