import { describe, expect, it } from 'vitest'
import { parseJsonExactly, parseOrderRequest } from '../src/api/order-request.ts'
import { brlFromCentavos, centavosFromBrl, formatBrl } from '../src/money.ts'

describe('money', () => {
  it.each([
    [1000, 100_000],
    [0.01, 1],
    [1.1, 110],
    [19.99, 1_999],
    [10_000_000, 1_000_000_000],
  ])('R$ %d is %d centavos', (amount, centavos) => {
    expect(centavosFromBrl(amount)).toBe(centavos)
  })

  it.each([0, -1, 0.001, 0.1 + 0.2, 1.005, 10_000_000.01, 1e21, Number.NaN, Number.POSITIVE_INFINITY])(
    'R$ %d is no amount',
    (amount) => {
      expect(centavosFromBrl(amount)).toBeNull()
    },
  )

  it('every amount of up to 200,000 centavos survives the way to JSON and back', () => {
    for (let centavos = 1; centavos <= 200_000; centavos++)
      if (centavosFromBrl(JSON.parse(JSON.stringify(brlFromCentavos(centavos))) as number) !== centavos)
        throw new Error(`${String(centavos)} centavos do not survive`)
  })

  it('is shown with thousands and centavos', () => {
    expect([formatBrl(123_456), formatBrl(5), formatBrl(-7)]).toEqual(['R$ 1,234.56', 'R$ 0.05', '-R$ 0.07'])
  })
})

describe('an order request', () => {
  const good = { amount: 1000, asset: 'PETR4', type: 'BUY' }

  it('of exactly the three fields is accepted', () => {
    expect(parseOrderRequest(good)).toEqual({
      valid: true,
      request: { amountCentavos: 100_000, quantity: null, asset: 'PETR4', side: 'BUY' },
    })
  })

  it.each([
    [{ ...good, amount: '1000' }, 'amount'],
    [{ ...good, amount: 10.123 }, 'amount'],
    [{ ...good, asset: 'petr4' }, 'asset'],
    [{ ...good, asset: 'PETR4; drop table orders' }, 'asset'],
    [{ ...good, type: 'HOLD' }, 'type'],
    [{ ...good, note: 'please' }, 'body'],
    [{ amount: 1, asset: 'PETR4' }, 'type'],
    [null, 'body'],
    [[good], 'body'],
  ])('%o is refused and the detail names %s', (body, field) => {
    const parsed = parseOrderRequest(body)

    expect(parsed.valid).toBe(false)
    expect(parsed.valid ? '' : parsed.detail).toContain(field)
  })

  it('with a number that a double cannot hold exactly is refused', () => {
    expect(parseJsonExactly('{"amount": 999999999.99}')).toEqual({ amount: 999_999_999.99 })
    expect(() => parseJsonExactly('{"amount": 1000.0000000000000001}')).toThrow(SyntaxError)
  })
})
