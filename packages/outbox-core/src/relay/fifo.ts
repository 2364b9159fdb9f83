/** A queue that gives back its memory as it is emptied from the front. */
export class Fifo<Item> {
  #items: Item[] = []
  #head = 0

  get length(): number {
    return this.#items.length - this.#head
  }

  push(item: Item): void {
    this.#items.push(item)
  }

  shift(): Item | undefined {
    const item = this.#items[this.#head]
    if (item === undefined) return undefined
    this.#head++
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) this.#compact()
    return item
  }

  peek(): Item | undefined {
    return this.#items[this.#head]
  }

  removeWhere(isRemoved: (item: Item) => boolean): Item[] {
    this.#compact()
    const removed = this.#items.filter(isRemoved)
    if (removed.length > 0) this.#items = this.#items.filter((item) => !isRemoved(item))
    return removed
  }

  #compact(): void {
    this.#items = this.#items.slice(this.#head)
    this.#head = 0
  }
}
