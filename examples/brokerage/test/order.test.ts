import { describe, expect, it } from 'vitest'
import { afterTrade, type Position } from '../src/balances/positions.ts'
import { compensation, reservation, settlement } from '../src/balances/movements.ts'
import { antifraud } from '../src/orders/antifraud.ts'
import { canBecome, isFinal, type Order, orderStates, statesBefore, type OrderState } from '../src/orders/order.ts'
import { retryDelays } from '../src/orders/timing.ts'

describe('the saga', () => {
  it('can always reach a final state, and never leaves one', () => {
    const next = (from: OrderState) => orderStates.filter((to) => canBecome(from, to))
    const reach = (from: OrderState): boolean => isFinal(from) || next(from).some(reach)

    expect(orderStates.filter((state) => !reach(state))).toEqual([])
    expect(orderStates.filter(isFinal)).toEqual(['SETTLED', 'COMPENSATED', 'CANCELLED'])
  })

  it('cancels only what was not sent, and moves money only for what was decided', () => {
    expect(statesBefore('CANCELLED')).toEqual(['BALANCE_RESERVED'])
    expect([statesBefore('SETTLED'), statesBefore('COMPENSATED')]).toEqual([['FILLED'], ['COMPENSATING']])
  })

  it('asks the exchange again after 2, 4 and 8 seconds, and then at least once a minute', () => {
    const delay = retryDelays(2_000)

    expect([0, 1, 2].map(delay)).toEqual([2_000, 4_000, 8_000])
    expect([5, 50, 5_000].map(delay)).toEqual([60_000, 60_000, 60_000])
  })
})

const order: Order = {
  orderId: 'o',
  accountId: 'a',
  asset: 'PETR4',
  side: 'BUY',
  amountCentavos: 100_000,
  quantity: 26_723_677,
  limitPriceCentavos: 3_742,
}
const amounts = (movements: readonly { reason: string; asset: string; amount: number }[]) =>
  movements.map(({ reason, asset, amount }) => [reason, asset, amount])

describe('what an order moves', () => {
  it('of a purchase filled in part and at a better price is cost, shares, and the rest given back', () => {
    expect(amounts([reservation(order)])).toEqual([['reservation', 'BRL', 100_000]])
    expect(amounts(settlement(order, { quantity: 10_000_000, priceCentavos: 3_700 }))).toEqual([
      ['payment', 'BRL', 37_000],
      ['delivery', 'PETR4', 10_000_000],
      ['release', 'BRL', 63_000],
    ])
  })

  it('of a sale is shares, proceeds, and what was not sold', () => {
    const sale: Order = { ...order, side: 'SELL' }

    expect(amounts([reservation(sale)])).toEqual([['reservation', 'PETR4', 26_723_677]])
    expect(amounts(settlement(sale, { quantity: 20_000_000, priceCentavos: 3_750 }))).toEqual([
      ['delivery', 'PETR4', 20_000_000],
      ['payment', 'BRL', 75_000],
      ['release', 'PETR4', 6_723_677],
    ])
  })

  it('never exceeds the reservation at the limit price, and gives all of it back when nothing filled', () => {
    const [payment] = settlement(order, { quantity: order.quantity, priceCentavos: order.limitPriceCentavos })

    expect(payment?.amount).toBeLessThanOrEqual(order.amountCentavos)
    expect(amounts(compensation(order))).toEqual([['release', 'BRL', 100_000]])
  })
})

describe('a position', () => {
  const trade = (side: 'BUY' | 'SELL', quantity: number, moneyCentavos: number) => ({
    accountId: 'a',
    asset: 'PETR4',
    side,
    quantity,
    moneyCentavos,
  })

  it('averages what its shares cost, and knows what sales brought beyond that', () => {
    let position: Position = { quantity: 0, costCentavos: 0, realizedCentavos: 0 }
    position = afterTrade(position, trade('BUY', 10_000_000, 1_000))
    position = afterTrade(position, trade('BUY', 10_000_000, 2_000))
    position = afterTrade(position, trade('SELL', 5_000_000, 1_000))

    expect(position).toEqual({ quantity: 15_000_000, costCentavos: 2_250, realizedCentavos: 250 })
    expect(afterTrade(position, trade('SELL', 15_000_000, 2_000))).toEqual({
      quantity: 0,
      costCentavos: 0,
      realizedCentavos: 0,
    })
  })
})

describe('antifraud', () => {
  const use = {
    orderLimitCentavos: 1_000,
    dailyLimitCentavos: 5_000,
    ordersPerMinute: 3,
    dayCentavos: 4_500,
    minuteOrders: 2,
  }

  it.each([
    [500, use, null],
    [1_001, use, 'order-limit'],
    [501, use, 'daily-limit'],
    [500, { ...use, minuteOrders: 3 }, 'velocity'],
  ])('of %i centavos says %j %s', (amount, soFar, rule) => {
    expect(antifraud(amount, soFar)).toBe(rule)
  })
})
