"""Cards, and adapters on the shelf that are checked before use."""

from discreet.registry.cards import FORMAT, AdapterCard, read_card, write_card
from discreet.registry.shelf import (
    FEDERATED,
    LATEST,
    REFERENCE,
    REFERENCE_DIR,
    SHIPPED,
    Adapter,
    Shelved,
    export,
    list_adapters,
    require_base,
    resolve,
)
from discreet.registry.withdrawal import (
    OWNER_FORGOTTEN,
    is_withdrawn,
    refuse_withdrawn,
    withdraw,
)

__all__ = [
    "FEDERATED",
    "FORMAT",
    "LATEST",
    "OWNER_FORGOTTEN",
    "REFERENCE",
    "REFERENCE_DIR",
    "SHIPPED",
    "Adapter",
    "AdapterCard",
    "Shelved",
    "export",
    "is_withdrawn",
    "list_adapters",
    "read_card",
    "refuse_withdrawn",
    "require_base",
    "resolve",
    "withdraw",
    "write_card",
]
