/**
 * Gives a Nest application its outbox by injection, and starts and stops a relay and consumers with it.
 *
 * @packageDocumentation
 */
import {
  type BeforeApplicationShutdown,
  type DynamicModule,
  type FactoryProvider,
  Inject,
  type ModuleMetadata,
  type OnApplicationBootstrap,
  type Provider,
} from '@nestjs/common'
import type { Consumer } from '../consumer.ts'
import type { MessageId } from '../message.ts'
import { createOutbox } from '../outbox.ts'
import type { Relay } from '../relay/relay.ts'

/** The token of the outbox, for `app.get`, and for `overrideProvider` in tests. Services use `@InjectOutbox()`. */
export const OUTBOX: unique symbol = Symbol.for('@malote/outbox-core/outbox')

/** The token of the relay: `null` where the application has none. */
export const RELAY: unique symbol = Symbol.for('@malote/outbox-core/relay')

/** Injects the outbox: `constructor(@InjectOutbox() outbox: Outbox<typeof catalog>)`. */
export function InjectOutbox(): ParameterDecorator & PropertyDecorator {
  return Inject(OUTBOX)
}

/** What the module gives to the application. */
export interface OutboxParts {
  /** @defaultValue `createOutbox()`: the schema `malote`, any message */
  readonly outbox?: { readonly add: (tx: never, message: never) => Promise<MessageId> }
  /** Started and stopped with the application. @defaultValue none: another process publishes */
  readonly relay?: Relay
}

/** How Nest makes the parts: like a provider. */
export interface OutboxModuleOptions
  extends Pick<ModuleMetadata, 'imports'>, Pick<FactoryProvider<OutboxParts>, 'inject' | 'useFactory'> {}

/** How Nest makes consumers: like a provider. */
export interface ConsumersOptions
  extends
    Pick<ModuleMetadata, 'imports'>,
    Pick<FactoryProvider<Consumer | readonly Consumer[]>, 'inject' | 'useFactory'> {}

/**
 * The outbox in every module of the application, a relay and consumers that live as long as it does.
 *
 * The relay and the consumers start when every module is ready, and stop before Nest calls `onApplicationShutdown`: end the pool there, or let a
 * module of your database client do it. A signal stops them when `app.enableShutdownHooks()` was called. What a last request adds after the relay
 * has stopped stays in the database for the next one.
 */
export const OutboxModule: {
  /** For parts that need nothing of Nest. */
  readonly forRoot: (parts?: OutboxParts) => DynamicModule
  /** @param options - `useFactory` returns the parts; it may inject whatever `imports` export, a pool for example */
  readonly forRootAsync: (options: OutboxModuleOptions) => DynamicModule
  /**
   * Consumers of one feature. Call it as often as you like. Handlers may use services that inject the outbox.
   *
   * @param options - `useFactory` returns consumers that have not been started
   */
  readonly forConsumers: (options: ConsumersOptions) => DynamicModule
} = {
  forRoot: (parts = {}) => outboxModule({ useFactory: () => parts }),
  forRootAsync: outboxModule,
  forConsumers: ({ imports = [], inject = [], useFactory }) => ({
    // A class for each call: Nest would take two calls that look the same for one module.
    // oxlint-disable-next-line typescript/no-extraneous-class -- Nest tells modules apart by their class
    module: class MaloteConsumers {},
    imports,
    providers: [
      { provide: CONSUMERS, inject, useFactory },
      {
        provide: RunningConsumers,
        inject: [CONSUMERS],
        useFactory: (made: Consumer | readonly Consumer[]) => new RunningConsumers([made].flat()),
      },
    ],
  }),
}

const PARTS = Symbol('parts')
const CONSUMERS = Symbol('consumers')

// oxlint-disable-next-line typescript/no-extraneous-class -- Nest tells modules apart by their class
class MaloteOutboxModule {}

function outboxModule({ imports = [], inject = [], useFactory }: OutboxModuleOptions): DynamicModule {
  const of = (provide: symbol | typeof RunningRelay, part: (parts: OutboxParts) => unknown): Provider => ({
    provide,
    inject: [PARTS],
    useFactory: part,
  })
  return {
    module: MaloteOutboxModule,
    global: true,
    imports,
    providers: [
      { provide: PARTS, inject, useFactory },
      of(OUTBOX, ({ outbox }) => outbox ?? createOutbox()),
      of(RELAY, ({ relay }) => relay ?? null),
      of(RunningRelay, ({ relay }) => new RunningRelay(relay)),
    ],
    exports: [OUTBOX, RELAY],
  }
}

/*
 * Both stop in `beforeApplicationShutdown`. In `onApplicationShutdown` they would be too late: Nest calls it for global modules last, and a
 * module with the pool ends it there.
 */

class RunningRelay implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #relay: Relay | undefined

  constructor(relay: Relay | undefined) {
    this.#relay = relay
  }

  onApplicationBootstrap(): void {
    this.#relay?.start()
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.#relay?.stop()
  }
}

class RunningConsumers implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #consumers: readonly Consumer[]

  constructor(consumers: readonly Consumer[]) {
    this.#consumers = consumers
  }

  async onApplicationBootstrap(): Promise<void> {
    await Promise.all(this.#consumers.map((consumer) => consumer.start()))
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all(this.#consumers.map((consumer) => consumer.stop()))
  }
}
