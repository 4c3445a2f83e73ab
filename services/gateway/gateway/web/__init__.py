"""The page people open: rendered on the server, kept alive by small ES modules, without a framework or a CDN."""
