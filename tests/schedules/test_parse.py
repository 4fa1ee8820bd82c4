"""The text form: what it accepts, and where its caret stands."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepsize.schedules import (
    ParseError,
    Schedule,
    cosine,
    decay,
    fixed,
    hold,
    multistep,
    policy,
    step,
    warmup,
    wsd,
)
from stepsize.schedules.document import from_json


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("cosine", cosine()),
        (" cosine ( ) ", cosine()),
        ("cosine(0.1)", cosine(0.1)),
        ("cosine(lr=.1, floor=1e-2)", cosine(0.1, floor=0.01)),
        ("0.1 * cosine", cosine(0.1)),
        ("cosine * 0.1", cosine(0.1)),
        ("warmup('2%') | cosine", warmup("2%") | cosine()),
        ("warmup(2%) | cosine", warmup("2%") | cosine()),
        ("warmup(3 epochs) | cosine", warmup("3 epochs") | cosine()),
        ('warmup("500 steps")|cosine', warmup(500) | cosine()),
        (
            "warmup('2%') | hold('78%') | decay('20%', shape='1-sqrt', floor=0.01)",
            warmup("2%") | hold("78%") | decay("20%", shape="1-sqrt", floor=0.01),
        ),
        ("wsd(0.1)", wsd(0.1)),
        ("multistep(0.1, milestones=[30, '60%',])", multistep(0.1, milestones=[30, "60%"])),
        ("step(0.1, 0.9, 50)", step(0.1, gamma=0.9, every=50)),
        ("(cosine | hold(10%)).clip(low=0.1)", (cosine() | hold("10%")).clip(low=0.1)),
        ("cosine.over(50%) | hold", cosine().over("50%") | hold()),
        ("cosine.along(momentum=0.9 * fixed)", cosine().along(momentum=fixed(0.9))),
    ],
)
def test_what_can_be_written(text: str, schedule: Schedule) -> None:
    assert Schedule.parse(text) == schedule


@pytest.mark.parametrize(
    ("text", "problem", "place"),
    [
        ("", "a schedule is expected", 0),
        ("cosin", "did you mean 'cosine'", 0),
        ("0.1 * cosin", "did you mean 'cosine'", 6),
        ("constant", "did you mean 'fixed'", 0),
        ("ExponentialLR", "did you mean 'exp'", 0),
        ("0.1 * cosine_annealing", "did you mean 'cosine'", 6),
        ("SGDR", "did you mean 'warm_restarts'", 0),
        ("warmup(2%) | zzz", "there is no schedule named 'zzz': known are", 13),
        ("cosine(", "a schedule is expected here", 7),
        ("cosine(floor=)", "a schedule is expected here", 13),
        ("cosine)", r"expected '\|', '\*' or the end", 6),
        ("cosine | | hold", "a schedule is expected here", 9),
        ("cosine(flor=0.1)", "did you mean 'floor'", 0),
        ("cosine(floor=0.1, 0.2)", "without a name must come before", 18),
        ("cosine(floor=0.1, floor=0.2)", "given twice", 18),
        ("cosine(floor=2)", r"must be in \[0, 1\]", 0),
        ("cosine $ hold", r"'\$' has no meaning", 7),
        ("0.1", r"write fixed\(0.1\)", 0),
        ("0.1 | cosine", "here stands a number", 4),
        ("cosine.clop(0.1)", "comes one of clip, over, along", 7),
        ("cosine.clip", r"expected '\('", 11),
        ("warmup(3 weeks)", "is not a length", 7),
        ("warmup('120%')", "cannot exceed 100%", 0),
        ("multistep(milestones=[1, 2)", r"expected '\]'", 26),
        ("cosine cosine", "or the end", 7),
        ("(cosine", r"expected '\)'", 7),
        ("(" * 100, "nested more than", 40),
        ("multistep(milestones=" + "[" * 100, "nested more than", 61),
    ],
)
def test_the_caret_stands_under_the_place(text: str, problem: str, place: int) -> None:
    with pytest.raises(ParseError, match=problem) as caught:
        Schedule.parse(text)
    assert caught.value.place == place
    assert str(caught.value).splitlines()[-1] == "  " + " " * place + "^"
    assert str(caught.value).splitlines()[-2] == "  " + text


@pytest.mark.parametrize("value", [None, 3, b"cosine", ["cosine"]])
def test_only_text_is_parsed(value: object) -> None:
    with pytest.raises(ValueError, match="parsed from text"):
        Schedule.parse(value)  # type: ignore[arg-type]


def fuzz(text: str) -> None:
    try:
        schedule = Schedule.parse(text)
    except ValueError as error:
        problem = str(error)
    else:
        problem = "none"
        assert Schedule.parse(str(schedule)) == schedule
    assert problem


@given(st.text())
def test_any_text_gives_a_schedule_or_a_clear_error(text: str) -> None:
    fuzz(text)


PIECES = (
    *"()[]|*,.=% '\n",
    *(
        "cosine",
        "warmup",
        "step",
        "floor",
        "lr",
        "gamma",
        "over",
        "along",
        "clip",
        "momentum",
        "None",
        "True",
    ),
    *("'2%'", "0.1", "50", "-1", "1e999", "nan"),
)
KEYS = ("policy", "lr", "sequence", "product", "scale", "of", "clip", "over", "along", "low")
ATOMS = st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["cosine", "2%"])


@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_any_sequence_of_words_gives_a_schedule_or_a_clear_error(text: str) -> None:
    fuzz(text)


def _containers(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner)


@given(st.recursive(ATOMS, _containers, max_leaves=8))
def test_any_json_gives_a_schedule_or_a_clear_error(document: object) -> None:
    try:
        schedule = from_json(json.dumps(document))
    except ValueError as error:
        problem = str(error)
    else:
        problem = "none"
        assert from_json(schedule.to_json()) == schedule
    assert problem


@pytest.mark.parametrize("text", ["", "{", "[" * 10**5, '{"policy": "cosin"}', '{"sequence": []}', "3"])
def test_text_that_is_no_schedule_in_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Schedule.from_json(text)


@pytest.mark.parametrize("name", sorted(policy.ELSEWHERE))
def test_a_name_from_elsewhere_leads_to_a_shape_that_there_is(name: str) -> None:
    policy.maker(policy.ELSEWHERE[name])  # raises where there is none
    with pytest.raises(ParseError, match=f"did you mean '{policy.ELSEWHERE[name]}'"):
        Schedule.parse(f"{name}LR")
