// #region nest-outbox
import { type Consumer, createOutbox, type Outbox, type Relay } from '@malote/outbox-core'
import { type DynamicModule, Module, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common'

export const OUTBOX: unique symbol = Symbol('outbox')

/** Starts with the application and stops with it, in good order: call `app.enableShutdownHooks()`. */
class Messaging implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #relay: Relay
  readonly #consumers: readonly Consumer[]

  constructor(relay: Relay, consumers: readonly Consumer[]) {
    this.#relay = relay
    this.#consumers = consumers
  }

  async onApplicationBootstrap(): Promise<void> {
    this.#relay.start()
    await Promise.all(this.#consumers.map((consumer) => consumer.start()))
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all(this.#consumers.map((consumer) => consumer.stop()))
    await this.#relay.stop()
  }
}

@Module({})
export class OutboxModule {
  static forRoot(relay: Relay, consumers: readonly Consumer[]): DynamicModule {
    const outbox: Outbox = createOutbox()
    const messaging = { provide: Messaging, useFactory: () => new Messaging(relay, consumers) }
    return {
      module: OutboxModule,
      global: true,
      providers: [messaging, { provide: OUTBOX, useValue: outbox }],
      exports: [OUTBOX],
    }
  }
}
// #endregion
