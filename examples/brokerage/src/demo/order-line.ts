import { z } from 'zod'
import { seedAccounts } from './accounts.ts'

/** One request of the input: who sends what under which key. The body is sent as it is, valid or not. */
export interface OrderLine {
  readonly account: string
  readonly idempotencyKey: string
  readonly body: unknown
}

/** The input cannot be used; the message names file and line. */
export class InputError extends Error {
  override readonly name = 'InputError'
}

const knownAccounts = new Set(seedAccounts.map(({ accountId }) => accountId))
const orderLine = z.strictObject({
  account: z
    .string()
    .refine((account) => knownAccounts.has(account), `must be one of ${[...knownAccounts].join(', ')}`),
  idempotencyKey: z.string().min(1),
  body: z.json(),
})

/**
 * Reads a file of one JSON object per line: `{"account", "idempotencyKey", "body"}`, or for a quick try the body alone
 * (`{"amount", "asset", "type"}`), which is then sent by the first account under a key made of the line's number.
 * Empty lines are skipped, and a file of none is fine.
 *
 * @param file - only for messages
 * @throws InputError
 */
export function parseOrderLines(text: string, file: string): readonly OrderLine[] {
  const lines: OrderLine[] = []
  text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .forEach((line, index) => {
      if (line.trim() !== '') lines.push(parseLine(line, index + 1, file))
    })
  return lines
}

function parseLine(line: string, number: number, file: string): OrderLine {
  const where = `${file}:${String(number)}`
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    throw new InputError(`${where}: not JSON: ${(error as Error).message}`, { cause: error })
  }
  if (isBareOrder(value))
    return { account: 'ACC-001', idempotencyKey: `input-line-${String(number).padStart(12, '0')}`, body: value }
  const parsed = orderLine.safeParse(value)
  if (parsed.success) return parsed.data
  const why = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'line'}: ${message}`).join('; ')
  throw new InputError(`${where}: ${why}; a line is {"account", "idempotencyKey", "body"} or an order`)
}

function isBareOrder(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || 'body' in value) return false
  return 'amount' in value || 'asset' in value
}
