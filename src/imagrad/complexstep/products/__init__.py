"""Networks as products with constant weights, which is where the time goes: their transposes, fast, and exact."""
