/**
 * A page that shows an outbox and mends what is wrong with it: `malote console`, or in your own application.
 *
 * @packageDocumentation
 */
export { createConsole } from './console.ts'
export type { Console, ConsoleOptions } from './console.ts'
export type { ConsoleAccess } from './guard.ts'
export { nodeListener } from './node-listener.ts'
