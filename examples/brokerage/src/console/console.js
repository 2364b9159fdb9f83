document.title = 'Brokerage'
