"""The verdict and what follows: promotion, approval, canary, rollback."""
