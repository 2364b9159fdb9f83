import { expect, it } from 'vitest'
import { canBecome, isFinal, orderStatuses, statesBefore, type OrderStatus } from '../src/orders/order.ts'

it('an order can always reach a final state, and never leaves one', () => {
  const next = (from: OrderStatus) => orderStatuses.filter((to) => canBecome(from, to))
  const reach = (from: OrderStatus): boolean => isFinal(from) || next(from).some(reach)

  expect(orderStatuses.filter((status) => !reach(status))).toEqual([])
  expect(orderStatuses.filter(isFinal)).toEqual(['settled', 'compensated', 'cancelled'])
})

it('only an order that was not sent can be cancelled', () => {
  expect(statesBefore('cancelled')).toEqual(['accepted'])
})

it('only an order the exchange has decided moves money', () => {
  expect([statesBefore('settled'), statesBefore('compensated')]).toEqual([['filled'], ['rejected']])
})
