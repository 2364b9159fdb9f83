import { createRoutingPublisher, type Publisher } from '@malote/outbox-core'

// #region routing
export function bothBrokers(sqs: Publisher, kafka: Publisher): Publisher {
  return createRoutingPublisher([
    { name: 'kafka', topics: ['prices', 'trades.*'], publisher: kafka },
    { name: 'sqs', topics: ['*'], publisher: sqs, concurrency: 8 },
  ])
}
// #endregion
