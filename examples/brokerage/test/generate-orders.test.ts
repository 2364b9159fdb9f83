import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseOrderRequest } from '../src/api/order-request.ts'
import { generateOrders } from '../src/demo/generate-orders.ts'
import { InputError, parseOrderLines } from '../src/demo/order-line.ts'

const textOf = (lines: readonly unknown[]) => lines.map((line) => JSON.stringify(line)).join('\n')

describe('generated orders', () => {
  it('are the same for the same seed and others for another', () => {
    expect(generateOrders(200, 7)).toEqual(generateOrders(200, 7))
    expect(generateOrders(200, 7)).not.toEqual(generateOrders(200, 8))
  })

  it('are what the file in data/ holds', () => {
    const file = readFileSync(new URL('../data/orders.jsonl', import.meta.url), 'utf8')

    expect(parseOrderLines(file, 'orders.jsonl')).toEqual(generateOrders(500, 1))
  })

  it('mix good orders with repeated keys, invalid bodies and assets that fail', () => {
    const lines = generateOrders(500, 3)
    const keys = lines.map(({ account, idempotencyKey }) => `${account} ${idempotencyKey}`)
    const assets = new Set(lines.map(({ body }) => (body as { asset?: string } | null)?.asset))

    expect(keys.length - new Set(keys).size).toBeGreaterThan(20)
    expect(lines.filter(({ body }) => !parseOrderRequest(body).valid).length).toBeGreaterThan(5)
    expect([...assets]).toEqual(expect.arrayContaining(['PETR4', 'OIBR3', 'XPTO3', 'AMER3']))
  })
})

describe('an input file', () => {
  it('may be empty or hold empty lines', () => {
    expect(parseOrderLines('', 'f')).toEqual([])
    expect(parseOrderLines(`\n${textOf(generateOrders(1, 1))}\r\n\n`, 'f')).toEqual(generateOrders(1, 1))
  })

  it('may hold bare orders, which get an account and a key', () => {
    const [line] = parseOrderLines('{"amount": 1000, "asset": "PETR4", "type": "BUY"}', 'f')

    expect(line).toEqual({
      account: 'ACC-001',
      idempotencyKey: 'input-line-000000000001',
      body: { amount: 1000, asset: 'PETR4', type: 'BUY' },
    })
  })

  it.each([
    'garbage',
    '{"account": "ACC-001"',
    '[]',
    '3',
    '{"a": 1}',
    '{"account":"ACC-999","idempotencyKey":"k","body":1}',
  ])('with the line %s is refused naming file and line', (line) => {
    const text = `${textOf(generateOrders(2, 1))}\n${line}\n`

    expect(() => parseOrderLines(text, 'orders.jsonl')).toThrow(InputError)
    expect(() => parseOrderLines(text, 'orders.jsonl')).toThrow('orders.jsonl:3: ')
  })
})
