"""The OpenAI twin: image generation and the model list, as the official SDK of November 2026 expects them."""
