"""Trend: many sessions -> what really changed, how regularly they were made, and what one side owes the other.

series.py and agreement.py hold the statistics, diligence.py counts days, ledger.py doses; following.py puts them
together for one wearer, repeating.py for several. Nothing here assumes that a person stays the same, or that sides
should be equal.
"""

from imuposture.trend.agreement import Agreement, agreement
from imuposture.trend.diligence import Diligence, diligence
from imuposture.trend.following import Trends, trends
from imuposture.trend.ledger import Account, ledger
from imuposture.trend.repeating import Repeated, repeatability
from imuposture.trend.series import ewma, mann_kendall, real_change, theil_sen

__all__ = [
    "Account",
    "Agreement",
    "Diligence",
    "Repeated",
    "Trends",
    "agreement",
    "diligence",
    "ewma",
    "ledger",
    "mann_kendall",
    "real_change",
    "repeatability",
    "theil_sen",
    "trends",
]
