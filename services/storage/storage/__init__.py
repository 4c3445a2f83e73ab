"""Storage keeps what customers own: generated pictures, uploads, and their thumbnails."""
