"""Facts of a policy and of the text by which people consent: what may be known, why, how long.

facts_of_policy(load_policy("healthcare"), Words("en"))["policy.guesses"]
"""

from collections.abc import Iterable, Iterator

from discreet.assistant import Policy, Purpose, Rule
from discreet.consent import Notice
from discreet.documents.evidence import Fact, Findings, Origin, fact, none_there
from discreet.documents.wording import Words

Rules = list[tuple[Purpose, str, Rule]]


def facts_of_policy(policy: Policy, words: Words) -> Findings:
    """Return what a policy lets the assistant know, and what for."""
    origin = Origin(name=f"policy {policy.context}", sha256=policy.sha256)
    rules = [
        (purpose, name, rule)
        for purpose in policy.purposes.values()
        for name, rule in purpose.attributes.items()
    ]
    guesses = [one for one in rules if "estimated" in one[2].sources]
    told = [one for one in rules if "declared" in one[2].sources]
    attributes = [_attribute(one, origin, words) for one in rules]
    at = "responder_sees_picture"
    return {
        "policy.context": (
            fact(
                origin,
                "context",
                context=words.term(policy.context),
                purpose=policy.default_purpose,
                sha256=policy.sha256,
            ),
        ),
        "policy.purposes": tuple(_purposes(policy, origin, words)),
        "policy.attributes": tuple(attributes) or none_there(origin, "purposes"),
        "policy.estimated": tuple(_attribute(one, origin, words) for one in guesses)
        or none_there(origin, "purposes.*.attributes.*.sources"),
        "policy.guesses": _names(guesses, origin, words),
        "policy.told": _names(told, origin, words),
        "policy.known": tuple(_by_attribute(rules, origin, words))
        or none_there(origin, "purposes"),
        "policy.picture": (
            (fact(origin, at),) if policy.responder_sees_picture else none_there(origin, at)
        ),
    }


def facts_of_notice(notice: Notice, words: Words) -> Findings:
    """Return what people are asked before they consent."""
    origin = Origin(
        name=f"consent text {notice.context}.{notice.language}, version {notice.version}",
        sha256=notice.sha256,
    )
    items = tuple(
        fact(origin, item.name, name=item.name, title=item.title, text=item.text)
        for item in notice.items
    )
    version = fact(origin, "text", version=str(notice.version), sha256=notice.sha256)
    return {"consent.notice": (version,), "consent.items": items or none_there(origin, "items")}


def _purposes(policy: Policy, origin: Origin, words: Words) -> Iterator[Fact]:
    for name, purpose in policy.purposes.items():
        yield fact(
            origin,
            f"purposes.{name}",
            name=name,
            description=purpose.description[words.language],
            basis=words.citation(purpose.legal_basis),
        )


def _attribute(one: tuple[Purpose, str, Rule], origin: Origin, words: Words) -> Fact:
    purpose, name, rule = one
    return fact(
        origin,
        f"purposes.{purpose.name}.attributes.{name}",
        purpose=purpose.name,
        attribute=words.term(name),
        sources=words.terms(rule.sources),
        values=words.terms(rule.estimated_values),
        confidence=words.share(rule.min_confidence),
        kept=_kept(rule, words),
        seen_by=words.terms(rule.seen_by),
        may_change=words.terms(rule.may_change),
    )


def _kept(rule: Rule, words: Words) -> str:
    """Return how long an attribute is kept; an estimate is gone after its turn."""
    if not rule.ttl_seconds or "declared" not in rule.sources:
        return words.term("this_turn")
    kept = f"{words.term('at_most')} {words.number(rule.ttl_seconds / 60)} {words.term('minutes')}"
    is_guessed = "estimated" in rule.sources
    return f"{kept}, {words.term('a_guess')} {words.term('this_turn')}" if is_guessed else kept


def _names(rules: Rules, origin: Origin, words: Words) -> tuple[Fact, ...]:
    """Return the attributes of some rules, each once, as one fact."""
    names = dict.fromkeys(name for _, name, _ in rules)
    at = "purposes.*.attributes.*.sources"
    if not names:
        return none_there(origin, at)
    return (fact(origin, at, attributes=words.terms(names)),)


def _by_attribute(rules: Rules, origin: Origin, words: Words) -> Iterator[Fact]:
    """Yield each attribute once, with all that any purpose lets be done with it."""
    for name in dict.fromkeys(name for _, name, _ in rules):
        own = [rule for _, other, rule in rules if other == name]
        longest = max(own, key=lambda rule: rule.ttl_seconds)
        yield fact(
            origin,
            f"purposes.*.attributes.{name}",
            attribute=words.term(name),
            sources=_for_you((s for rule in own for s in rule.sources), words),
            kept=_kept(longest, words),
            seen_by=_for_you((s for rule in own for s in rule.seen_by), words),
            may_change=words.terms(dict.fromkeys(s for rule in own for s in rule.may_change)),
        )


def _for_you(names: Iterable[str], words: Words) -> str:
    """Return names, each once, as they are said to the person themselves."""
    return words.terms(f"{name}_you" for name in dict.fromkeys(names))
