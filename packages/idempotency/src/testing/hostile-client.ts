import { bodyCases } from './hostile-client/bodies.ts'
import { connectionCases } from './hostile-client/connections.ts'
import type { Case } from './hostile-client/steps.ts'
import { textCases } from './hostile-client/texts.ts'

export type { HostileClientHarness } from './hostile-client/steps.ts'

/** What every entry point must bear from its clients. Run each against a server that listens on this machine. */
export const hostileClientConformance: readonly Case[] = [...connectionCases, ...bodyCases, ...textCases]
