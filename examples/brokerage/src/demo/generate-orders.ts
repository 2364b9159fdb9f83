import { listedAssets } from '../b3/behaviour.ts'
import { seededRandom } from '../process/random.ts'
import { customerIds, poorCustomerId } from './accounts.ts'
import type { OrderLine } from './order-line.ts'

type Kind = 'good' | 'retry' | 'other-body' | 'invalid' | 'no-balance' | 'antifraud' | 'rejected' | 'auction'

/** How often each kind of request comes, in parts of a hundred. */
const shares: readonly (readonly [Kind, number])[] = [
  ['good', 76.6],
  ['retry', 6],
  ['other-body', 3],
  ['invalid', 4],
  ['no-balance', 3],
  ['antifraud', 2],
  ['rejected', 5],
  ['auction', 0.4],
]

const invalidBodies: readonly unknown[] = [
  { amount: 10.123, asset: 'PETR4', type: 'BUY' },
  { amount: -5, asset: 'PETR4', type: 'BUY' },
  { amount: '1000', asset: 'PETR4', type: 'BUY' },
  { amount: 1000, asset: 'petr4', type: 'BUY' },
  { amount: 1000, asset: 'PETR4', type: 'HOLD' },
  { amount: 1000, asset: 'PETR4' },
  { amount: 1000, asset: 'PETR4', type: 'BUY', note: 'please' },
  [],
  null,
]

/**
 * Makes `count` requests: mostly good orders of ten accounts, mixed with retries under the same key, keys reused for
 * another body, invalid bodies, a customer without balance, amounts above the antifraud limit, and assets the exchange
 * rejects or keeps waiting. The same count and seed make the same requests.
 */
export function generateOrders(count: number, seed: number): readonly OrderLine[] {
  const random = seededRandom(seed)
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item
  const sent: OrderLine[] = []
  const key = (): string =>
    `${seed.toString(16).padStart(8, '0')}-${sent.length.toString(16).padStart(8, '0')}-${Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0')}`
  const order = (asset: string, amount = Math.ceil(random() * 500_000) / 100): unknown => ({
    amount,
    asset,
    type: random() < 0.7 ? 'BUY' : 'SELL',
  })
  const line = (body: unknown, account: string = pick(customerIds)): OrderLine => ({
    account,
    idempotencyKey: key(),
    body,
  })
  const goodBefore = (): OrderLine | undefined => {
    const candidates = sent.filter(isGoodOrder)
    return candidates.length === 0 ? undefined : pick(candidates.slice(-40))
  }

  const make: Record<Kind, () => OrderLine> = {
    good: () => line(order(pick(listedAssets))),
    retry: () => goodBefore() ?? make.good(),
    'other-body': () => {
      const before = goodBefore()
      return before === undefined ? make.good() : { ...before, body: order(pick(listedAssets), 7.77) }
    },
    invalid: () => line(pick(invalidBodies)),
    'no-balance': () => line({ amount: 20_000, asset: pick(listedAssets), type: 'BUY' }, poorCustomerId),
    antifraud: () => line(order(pick(listedAssets), 60_000)),
    rejected: () =>
      line({ amount: Math.ceil(random() * 50_000) / 100, asset: pick(['OIBR3', 'GOLL4', 'XPTO3']), type: 'BUY' }),
    auction: () => line({ amount: 42, asset: 'AMER3', type: 'BUY' }),
  }
  while (sent.length < count) sent.push(make[pickKind(random())]())
  return sent
}

function pickKind(drawn: number): Kind {
  let rest = drawn * 100
  for (const [kind, share] of shares) {
    rest -= share
    if (rest < 0) return kind
  }
  return 'good'
}

/** An order that was accepted when it was sent, so that its key may come again. */
function isGoodOrder({ account, body }: OrderLine): boolean {
  if (account === poorCustomerId || typeof body !== 'object' || body === null) return false
  const { amount, asset } = body as { amount?: unknown; asset?: unknown }
  return (
    typeof amount === 'number' &&
    amount > 0 &&
    amount <= 5_000 &&
    amount !== 7.77 &&
    listedAssets.includes(String(asset))
  )
}
