"""Commands for developers; nothing in the product imports them."""
