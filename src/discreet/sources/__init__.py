"""Real data sets on disk, one door for all layouts: read, check, describe, share out.

Nothing is downloaded, moved or rewritten, and no picture is loaded unless it is asked for.

>>> sorted(READERS)[:4]
['affectnet', 'celeba', 'chats', 'deepfake_bench']
"""

from discreet.sources.balance import (
    MAX_VALUES,
    MIN_RECORDS,
    Balance,
    LabelCounts,
    PairCounts,
    Tally,
)
from discreet.sources.check import NOT_HASHED, SAMPLE, Check, check_source
from discreet.sources.layouts import Reader
from discreet.sources.manifest import (
    UNKNOWN,
    Declared,
    Manifest,
    changed_files,
    changes,
    gaps_of,
    manifest_of,
    open_points,
    read_manifest,
    write_manifest,
)
from discreet.sources.owners import partition
from discreet.sources.pictures import sheet_of
from discreet.sources.portraits import (
    may_be_portrait,
    portrait_of,
    write_portrait_shards,
    write_portraits,
)
from discreet.sources.problems import KINDS, OTHER, OnProblem, Origin, Problem, Problems
from discreet.sources.readers import READERS
from discreet.sources.records import Medium, Record, Turn
from discreet.sources.shares import Shares, read_shares, write_index, write_shards
from discreet.sources.source import find_reader, read_source
from discreet.sources.trainable import (
    holds_shares,
    lack_of,
    num_owners_in,
    own_examples_in,
    owners_in,
)
from discreet.sources.trial import Sharing, measure_sharing

__all__ = [
    "KINDS",
    "MAX_VALUES",
    "MIN_RECORDS",
    "NOT_HASHED",
    "OTHER",
    "READERS",
    "SAMPLE",
    "UNKNOWN",
    "Balance",
    "Check",
    "Declared",
    "LabelCounts",
    "Manifest",
    "Medium",
    "OnProblem",
    "Origin",
    "PairCounts",
    "Problem",
    "Problems",
    "Reader",
    "Record",
    "Shares",
    "Sharing",
    "Tally",
    "Turn",
    "changed_files",
    "changes",
    "check_source",
    "find_reader",
    "gaps_of",
    "holds_shares",
    "lack_of",
    "manifest_of",
    "may_be_portrait",
    "measure_sharing",
    "num_owners_in",
    "open_points",
    "own_examples_in",
    "owners_in",
    "partition",
    "portrait_of",
    "read_manifest",
    "read_shares",
    "read_source",
    "sheet_of",
    "write_index",
    "write_manifest",
    "write_portrait_shards",
    "write_portraits",
    "write_shards",
]
