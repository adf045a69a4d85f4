"""Which sensors a profile takes: by name, service or company, as they say on the air.

Patterns come from a profile that anybody may have written, names from a radio that anybody may have sent: only
patterns that cannot take long are accepted, and only the beginning of a name is looked at.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from imuposture.acquisition.drivers.declarative.tables import BLUETOOTH_BASE, Table
from imuposture.acquisition.drivers.driver import Advertisement

__all__ = ["Match", "matches_of", "words"]

LONGEST_NAME = 64
MOST_MATCHES = 8


@dataclass(frozen=True, slots=True)
class Match:
    """A way to know the sensor; what is given must all be there."""

    name: re.Pattern[str] | None
    service: str | None
    company: int | None

    def weight(self, advertisement: Advertisement) -> int:
        """Tell how closely it fits: 0 if not at all, else more for rarer signs.

        A service of the maker's own counts most, then each letter that the name must have, then a company.
        """
        name = (advertisement.name or "")[:LONGEST_NAME]
        if self.name is not None and not self.name.search(name):
            return 0
        if self.service is not None and self.service not in advertisement.service_uuids:
            return 0
        if self.company is not None and self.company not in advertisement.manufacturer_data:
            return 0
        own = self.service is not None and not self.service.endswith(BLUETOOTH_BASE)
        letters = sum(map(str.isalnum, self.name.pattern)) if self.name is not None else 0
        return 100 * own + 30 * (self.service is not None) + 3 * min(letters, 30) + 2 * (self.company is not None)


def matches_of(whole: Table) -> tuple[Match, ...]:
    """Read ``[match]``, or several ``[[match]]``; without any, the profile is taken by name only.

    Raises
    ------
    ConfigError
        If one says nothing, or has a pattern that could take long.
    """
    keys = ("name", "service", "company")
    if isinstance(whole.raw("match"), dict):
        return (_match(whole.of("match", whole.raw("match"), keys)),)
    return tuple(_match(table) for table in whole.tables("match", keys, MOST_MATCHES))


def _match(table: Table) -> Match:
    if not any(key in table for key in ("name", "service", "company")):
        raise table.wrong("", "says nothing; give name, service or company, or leave it")
    return Match(
        _pattern(table) if "name" in table else None,
        table.uuid("service") if "service" in table else None,
        table.integer("company", 0, 0xFFFF) if "company" in table else None,
    )


def _pattern(table: Table) -> re.Pattern[str]:
    text = table.text("name", longest=80)
    loops, options = sum(map(text.count, "*+")), text.count("?")
    if any(sign in text for sign in "(){}") or loops > 2 or options > 3 or re.search(r"\\[1-9]", text):
        raise table.wrong("name", "must be a pattern without groups, with at most two of * and +, and three of ?")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = re.compile(text)
    except (re.error, Warning, OverflowError, RecursionError) as error:
        raise table.wrong("name", f"is no pattern: {error}") from None
    if found.search("") is not None:
        raise table.wrong("name", 'would take every sensor; write a part of its name, as "^Thingy"')
    return found


def words(matches: Sequence[Match]) -> list[str]:
    """Say in words what a profile takes."""
    told = []
    for match in matches:
        name = f"name like {match.name.pattern}" if match.name is not None else ""
        service = f"service {match.service}" if match.service else ""
        company = f"company 0x{match.company:04x}" if match.company is not None else ""
        told.append(", ".join(filter(None, (name, service, company))))
    return told
