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

export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] }

export interface StandardIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

export type InputOf<Schema> = Schema extends StandardSchemaV1<infer Input, unknown> ? Input : never

export type OutputOf<Schema> = Schema extends StandardSchemaV1<unknown, infer Output> ? Output : never
