"""What looks like a secret, by its name or by its form: it goes into no manifest and no remark. Pure."""

import re

from cloud_hub.importing.imported import Ledger
from cloud_hub.importing.spots import Spot

KEPT_BACK = "\ufdd0"
"""Stands for a value that is not shown; no text of people has this character."""
NAME = re.compile(
    r"pass(word|wd|phrase)|_pwd\b|secret|credential|token(?![is])|connection_?string|(api|access|account|private|sas|"
    r"shared|signing|encryption)_?key|sas_?url",
    re.IGNORECASE,
)
VALUE = re.compile(
    r"(SharedAccessKey|SharedAccessSignature|AccountKey|Password|Pwd)\s*=|BEGIN [A-Z ]{0,20}PRIVATE KEY|"
    r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|://[^/\s:@]+:[^/\s@]+@",
    re.IGNORECASE,
)


def looks_secret(name: str, value: object) -> bool:
    """Does a setting look like one that nobody else should see?"""
    text = value if isinstance(value, str) else ""
    return bool(NAME.search(name) or VALUE.search(text)) or KEPT_BACK in text


def is_guarded(spot: Spot) -> bool:
    """Might a text be a secret, by the names that it stands under, or by itself?"""
    text = spot.text or ""
    names = [str(step) for step in spot.path]
    return looks_secret(text.partition("=")[0], text) or any(NAME.search(name) for name in names)


def keep_back(ledger: Ledger, spot: Spot, what: str) -> None:
    """List a value that looks like a secret."""
    ledger.leave(
        spot,
        what,
        "it looks like a secret, and whoever may read a rollout would see it",
        "`headland secret set`, and name it in the module's `secrets`; if it is none, write it by hand",
    )
