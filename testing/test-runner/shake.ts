/** How a run is made unlucky: `low` and `high` draw pauses at either end of their range, `stall` stops the process again and again. */
export type Shake = 'low' | 'high' | 'stall'

const shakes: readonly Shake[] = ['low', 'high', 'stall']

/**
 * Makes the process that runs the tests unlucky, so that a test which is right only most of the time fails now and not in one run of a hundred.
 * Every other draw, at random, is at the end: many draws still add up to what nature would give, which bounds on their sum rely on.
 *
 * @param names - `MALOTE_SHAKE`: names with commas between them; unset or empty, nothing happens
 * @throws Error for a name that is none
 */
export function shake(names: string | undefined): void {
  if (names === undefined || names === '') return
  for (const name of names.split(',')) {
    const known = shakes.find((each) => each === name)
    if (known === undefined)
      throw new Error(`MALOTE_SHAKE is "${name}": it must be of ${shakes.join(', ')}, with commas between them.`)
    if (known === 'stall') stall()
    else draw(known)
  }
}

function draw(end: 'low' | 'high'): void {
  const { random } = Math
  Math.random = () => (random() < 0.5 ? random() : (end === 'low' ? 0 : 0.99) + random() / 100)
}

/** Blocks the event loop for 50 to 400 ms, with as much as a second in between. */
function stall(): void {
  const { random } = Math
  const held = new Int32Array(new SharedArrayBuffer(4))
  const next = (): void => {
    setTimeout(() => {
      Atomics.wait(held, 0, 0, 50 + random() * 350)
      next()
    }, random() * 1_000).unref()
  }
  next()
}
