const shared = globalThis as { maloteAbsentServices?: Map<string, string> }

/** Services that could not be had, each with the reason: filled by the global setup, read by the report at the end of the run. */
export const absentServices: Map<string, string> = (shared.maloteAbsentServices ??= new Map())
