"""Storage keeps what customers own: generated pictures, uploads, their lineage and their thumbnails."""
