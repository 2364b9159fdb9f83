export const title = 'Brokerage'
