"""The explorer: a page on this machine that shows what a network looks at, while one draws."""
