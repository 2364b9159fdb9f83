// k6 run -e API=http://127.0.0.1:8080 examples/brokerage/deploy/load.js
// Against a demo (`npm run demo -- --keep`) as its ten customers who can pay; elsewhere give a TOKEN, and that account a limit that lets it.
import http from 'k6/http'
import { check } from 'k6'

export const options = {
  scenarios: {
    orders: {
      executor: 'ramping-arrival-rate',
      startRate: 50,
      timeUnit: '1s',
      preAllocatedVUs: 200,
      stages: [
        { target: 200, duration: '30s' },
        { target: 200, duration: '2m' },
      ],
    },
  },
  thresholds: { http_req_failed: ['rate<0.001'], http_req_duration: ['p(95)<500', 'p(99)<1000'] },
}

export default function placeOrder() {
  const response = http.post(`${__ENV.API}/api/orders`, JSON.stringify({ amount: 100, asset: 'PETR4', type: 'BUY' }), {
    headers: {
      'content-type': 'application/json',
      'idempotency-key': `k6-${__VU}-${__ITER}-${Date.now()}`,
      authorization: `Bearer ${__ENV.TOKEN || `demo-token-acc-${String(1 + (__VU % 10)).padStart(3, '0')}`}`,
    },
  })
  check(response, { accepted: ({ status }) => status === 202 })
}
