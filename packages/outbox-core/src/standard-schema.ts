/**
 * The Standard Schema interface (standardschema.dev, version 1), as far as it is used here. Zod, Valibot, ArkType and
 * others implement it. Spelled out because the specification invites libraries to do so instead of depending on it.
 */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

/**
 * What a schema answers when it is asked to check a value: the value as it is to be used, or what is wrong with it. Part of Standard Schema 1,
 * which Zod, Valibot, ArkType and others keep.
 */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] }

/** One thing that is wrong with a value, in words, and where in the value it is. */
export interface StandardIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** The type that a schema takes: what `add` accepts as payload. `never` when the type given is no schema. */
export type InputOf<Schema> = Schema extends StandardSchemaV1<infer Input, unknown> ? Input : never

/** The type that a schema gives after it has checked and transformed a value: what a handler receives. `never` when the type given is no schema. */
export type OutputOf<Schema> = Schema extends StandardSchemaV1<unknown, infer Output> ? Output : never
