"""Scoring: sessions that are there -> figures under other thresholds, by task, wearer and group.

anew.py pushes stored rows through the metrics once more; diary.py says who did what when, tasks.py sums up by it.
"""

from imuposture.scoring.anew import Score, score
from imuposture.scoring.diary import Diary, read_diary
from imuposture.scoring.tasks import ByTask, by_task

__all__ = ["ByTask", "Diary", "Score", "by_task", "read_diary", "score"]
