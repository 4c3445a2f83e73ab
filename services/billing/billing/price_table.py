"""The public price table: one version of the price book, with the refund rules."""

from billing.errors import unknown_price_version
from billing.refunds import REFUNDS
from billing.schemas import ArticleRate, ImagePrice, Prices, PriceTable, RefundView, StorybookRate, VideoPrice
from shared.prices import PriceBook, price_books


def prices_of(version: str) -> Prices:
    """One version of the price book with the refund rules. Raises Problem 404."""
    books = price_books()
    book = books.get(version)
    if book is None:
        raise unknown_price_version(version, list(books))
    refunds = [
        RefundView(
            rule=name,
            outcome=rule.outcome,
            credits=rule.credits,
            borne_by=rule.borne_by,
            explanation=rule.explanation,
        )
        for name, rule in REFUNDS.items()
    ]
    return Prices(
        version=book.version,
        valid_from=book.valid_from,
        versions=list(books),
        prices=_table(book),
        refunds=refunds,
    )


def _table(book: PriceBook) -> PriceTable:
    return PriceTable(
        image=[
            ImagePrice(size=size, quality=quality, price=price)
            for size, qualities in book.image.items()
            for quality, price in qualities.items()
        ],
        article=ArticleRate(tokens_per_credit=book.article.tokens_per_credit) if book.article else None,
        script=book.script.each if book.script else None,
        video=[
            VideoPrice(model=model, size=size, seconds=int(seconds), price=price)
            for model, sizes in (book.video or {}).items()
            for size, lengths in sizes.items()
            for seconds, price in lengths.items()
        ],
        storybook=StorybookRate(cover=book.storybook.cover, page=book.storybook.page) if book.storybook else None,
    )
