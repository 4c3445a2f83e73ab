"""Billing owns whatever is paid: wallets, grants, holds and the double-entry ledger behind them."""
