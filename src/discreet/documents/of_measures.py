"""Facts of what was measured: results of benchmarks and audits, and the manifest of a data set.

A result counts only for what it was measured on: another run's adapter, base or context gives no
fact. Looked for by name in folders of evidence, the first that has a file wins.

    facts_of_results([run.audits_dir, Path("docs/results")], run.id, "small", "healthcare", words)
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from discreet.artifacts import read_json, read_toml
from discreet.documents.evidence import Fact, Findings, Origin, fact, none_there, origin_of
from discreet.documents.wording import Words
from discreet.errors import ArtifactCorrupt
from discreet.types import Language


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What the documents are about."""

    run: str
    """Id of the run."""
    base: str
    """Name of its base model; empty: its card does not say."""
    context: str
    """Of the policy."""
    adapter_sha256: str = ""
    """Of the adapter's files; empty: there is no card."""


Read = Callable[[Any, Origin, Subject, Words], Iterator[tuple[str, tuple[Fact, ...]]]]
"""Yields keys with facts from the content of a file."""


def facts_of_results(folders: Sequence[Path], subject: Subject, words: Words) -> Findings:
    """Return what the results in some folders say of a subject.

    Raises:
        ArtifactCorrupt: if a file is damaged, or not as this version writes it.
    """
    found: dict[str, tuple[Fact, ...]] = {}
    for name, read in READERS.items():
        path = next((one for folder in folders if (one := folder / name).is_file()), None)
        if path is None:
            continue
        raw = read_toml(path) if path.suffix == ".toml" else read_json(path)
        try:
            origin = origin_of(path, commit=_commit(raw))
            found |= dict(read(raw, origin, subject, words))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ArtifactCorrupt(
                f"Expected '{name}' as this version writes it, got another form. Measure again, or "
                "take the file away: the documents then say that it is missing."
            ) from error
    return found


def _commit(raw: Mapping[str, Any]) -> str:
    """Return the commit of the code that measured; audits keep it with the machine."""
    return str(raw.get("commit") or raw.get("made_by", {}).get("commit") or "")


def _adapt(
    raw: Any, origin: Origin, subject: Subject, words: Words
) -> Iterator[tuple[str, tuple[Fact, ...]]]:
    """Yield how answers of the assistant with this run's adapter fit and what they say."""
    who = f"assistant with {subject.run}"
    if who not in raw["answered_by"] or raw["language"] != words.language:
        return
    at = "adapter_sha256"
    measured = raw.get(at, {}).get(subject.run)
    if measured not in (None, subject.adapter_sha256):
        return
    yield (
        "adapt.named",
        none_there(origin, at) if measured is None else (fact(origin, at, sha256=measured),),
    )
    own, at = raw["answered_by"][who], f"answered_by.{who}"
    yield (
        "adapt.fits",
        tuple(
            fact(
                origin,
                f"{at}.fits.{reader}",
                reader=words.term(reader),
                share=words.interval(share),
                count=str(share["n"]),
            )
            for reader, share in own["fits"].items()
        ),
    )
    for key, name in (("recall", "all_recall"), ("forbidden", "claims_forbidden")):
        share = own[name]
        told = fact(origin, f"{at}.{name}", share=words.interval(share), count=str(share["n"]))
        yield f"adapt.{key}", (told,)
    faults = (
        fact(
            origin,
            f"{at}.faults.{fault}",
            fault=words.term(fault),
            share=words.interval(share),
        )
        for fault, share in own["faults"].items()
    )
    yield "adapt.faults", tuple(faults)


def _twins(
    raw: Any, origin: Origin, subject: Subject, words: Words
) -> Iterator[tuple[str, tuple[Fact, ...]]]:
    """Yield how often what is told of two pictures differs where nothing it may use does."""
    if subject.context not in raw["lines"]:
        return
    line, at = raw["lines"][subject.context], f"lines.{subject.context}"
    whole = line["unwarranted"]["whole"]
    yield (
        "twins.whole",
        (
            fact(
                origin,
                f"{at}.unwarranted.whole",
                share=words.interval(whole),
                pairs=str(whole["pairs"]),
                people=str(whole["people"]),
            ),
        ),
    )
    by_kind = line["unwarranted"]["by_kind"]
    yield (
        "twins.kinds",
        tuple(
            fact(
                origin,
                f"{at}.unwarranted.by_kind.{kind}",
                kind=words.term(kind),
                share=words.interval(share),
            )
            for kind, share in by_kind.items()
        ),
    )
    declared = line["declared"]["whole"]
    yield (
        "twins.declared",
        (fact(origin, f"{at}.declared.whole", share=words.interval(declared)),),
    )


def _probes(
    raw: Any, origin: Origin, subject: Subject, words: Words
) -> Iterator[tuple[str, tuple[Fact, ...]]]:
    """Yield how well the best probe reads what is withheld from what is handed on."""
    if raw["base"] != subject.base:
        return
    told = []
    for place, finding in enumerate(raw["findings"]):
        if finding["representation"] == "all visual tokens":
            best = next(one for one in finding["attacks"] if one["probe"] == finding["best"])
            told.append(
                fact(
                    origin,
                    f"findings[{place}]",
                    label=words.term(finding["label"]),
                    people=words.term(finding["people"]),
                    share=words.interval(best | {"value": best["accuracy"]}),
                    chance=words.share(best["chance"]),
                )
            )
    if told:
        yield "probes.tokens", tuple(told)


def _membership(
    raw: Any, origin: Origin, subject: Subject, words: Words
) -> Iterator[tuple[str, tuple[Fact, ...]]]:
    """Yield how well losses tell the examples of the owner of whom they tell most."""
    if raw["adapter_sha256"] != subject.adapter_sha256:
        return
    worst = max(raw["values"]["owners"].values(), key=lambda found: found["auc"])
    told = fact(
        origin,
        "values.owners, the largest auc",
        owners=str(len(raw["values"]["owners"])),
        share=words.interval(worst | {"value": worst["auc"]}),
        coin=words.share(0.5),
        members=str(worst["members"]),
        others=str(worst["others"]),
    )
    yield "membership.adapter", (told,)


def _ground(
    raw: Any, origin: Origin, subject: Subject, words: Words
) -> Iterator[tuple[str, tuple[Fact, ...]]]:
    """Yield how often a question in a person's own words gets the wrong note, or none."""
    for place, one in enumerate(raw["found_by"]):
        if (one["find"], one["language"]) == ("both", words.language):
            asked = one["asked"]["in other words"]
            at = f"found_by[{place}].asked.in other words"
            for name in ("right", "wrong", "refused"):
                low, high = asked[name]["interval"]
                share = asked[name]["count"] / asked[name]["of"]
                told = words.interval({"value": share, "low": low, "high": high})
                count = str(asked[name]["of"])
                yield f"ground.{name}", (fact(origin, f"{at}.{name}", share=told, count=count),)


def _perceiver(
    raw: Any, origin: Origin, subject: Subject, words: Words
) -> Iterator[tuple[str, tuple[Fact, ...]]]:
    """Yield how often each head is wrong where it says something, as a whole and by group."""
    heads = raw["heads"].items()
    yield (
        "perceiver.heads",
        tuple(
            fact(
                origin,
                f"heads.{name}.test",
                head=words.term(name),
                coverage=words.share(head["test"]["coverage"]),
                error=words.interval(_error(head["test"])),
                promised=words.share(head["promised_error"]),
                people=words.number(head["test"]["units"], 0),
            )
            for name, head in heads
        ),
    )
    above = tuple(
        fact(
            origin,
            f"heads.{name}.test_by_group.{by}.{group}",
            head=words.term(name),
            group=f"{words.term(by)}{words.term('colon')} {words.term(group)}",
            error=words.interval(_error(found)),
            promised=words.share(head["promised_error"]),
            people=words.number(found["units"], 0),
        )
        for name, head in heads
        for by, groups in head["test_by_group"].items()
        for group, found in groups.items()
        if found["error_when_answering"] > head["promised_error"]
    )
    yield "perceiver.above", above or none_there(origin, "heads.*.test_by_group")


def _error(found: Mapping[str, Any]) -> dict[str, Any]:
    names = {"value": "error_when_answering", "low": "error_low", "high": "error_high"}
    return {name: found[where] for name, where in names.items()}


def _manifest(
    raw: Any, origin: Origin, subject: Subject, words: Words
) -> Iterator[tuple[str, tuple[Fact, ...]]]:
    """Yield what a data set's manifest says; `unknown` there is no fact."""
    for name, said in raw["declared"].items():
        if said != "unknown":
            yield f"data.{name}", (fact(origin, f"declared.{name}", said=said),)
    counts = {name: str(raw["counts"][name]) for name in ("records", "people", "files")}
    yield "data.counts", (fact(origin, "counts", date=raw["date"], **counts),)
    balance = tuple(
        fact(origin, f"balance.{label}", label=words.term(label), values=_counted(values, words))
        for label, values in raw["balance"].items()
    )
    yield "data.balance", balance or none_there(origin, "balance")
    gaps = tuple(fact(origin, f"gaps[{place}]", gap=gap) for place, gap in enumerate(raw["gaps"]))
    yield "data.gaps", gaps or none_there(origin, "gaps")
    problems = tuple(
        fact(origin, f"problems.{name}", problem=name, count=str(count))
        for name, count in raw["problems"].items()
    )
    yield "data.problems", problems or none_there(origin, "problems")


def _counted(values: Mapping[str, int], words: Words) -> str:
    return ", ".join(f"{words.term(value)} {count}" for value, count in values.items())


def measures(language: Language) -> Findings:
    """Return what the code does to protect people, each with the tests that would fail without."""
    path = Path(__file__).with_name("measures.toml")
    origin = origin_of(path)
    found: dict[str, list[Fact]] = {}
    for name, one in tomllib.loads(path.read_text(encoding="utf-8")).items():
        told = fact(origin, name, said=one[language], tests=", ".join(one["tests"]))
        found.setdefault(f"measures.{one['against']}", []).append(told)
    return {key: tuple(facts) for key, facts in found.items()}


READERS: Mapping[str, Read] = {
    "adapt.json": _adapt,
    "adapt_fr.json": _adapt,
    "ground.json": _ground,
    "manifest.toml": _manifest,
    "membership.json": _membership,
    "small_perceiver.json": _perceiver,
    "probes.json": _probes,
    "twins.json": _twins,
}
"""Name of a file of evidence -> what reads it."""
