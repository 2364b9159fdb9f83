export { startTcpProxy, type TcpProxy } from '../packages/outbox-core/src/testing/tcp-proxy.ts'
