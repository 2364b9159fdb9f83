import { createRoutingPublisher, type Publisher } from '@malote/outbox-core'

export function bothBrokers(sqs: Publisher, kafka: Publisher): Publisher {
  // #region routing
  const publisher = createRoutingPublisher([
    { name: 'kafka', topics: ['prices', 'trades.*'], publisher: kafka },
    { name: 'sqs', topics: ['*'], publisher: sqs, concurrency: 8 },
  ])
  // #endregion
  return publisher
}
