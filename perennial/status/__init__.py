"""How each problem is: what registry, measurements and problem files say, and what follows."""
