"""What the bench reads and reckons, on inputs whose result is known."""

from types import SimpleNamespace

import pytest

from . import data, page
from .callgrind import Function, Profile
from .interval import median_interval


def test_interval_of_forty_are_the_14th_and_27th():
    # P(13 or fewer of 40 below the median) = 0.0192, P(14 or fewer) = 0.0403.
    assert median_interval(range(40, 0, -1)) == (14, 20.5, 27)


def test_interval_of_six_is_their_range_and_five_are_too_few():
    assert median_interval([3, 1, 2, 6, 5, 4]) == (1, 3.5, 6)
    with pytest.raises(ValueError, match="5 values"):
        median_interval([1, 2, 3, 4, 5])


DUMP = """\
events: Ir DLmr DLmw
summary: 170

ob=/lib/ours.so
fl=a.rs
fn=outer
3 20
fi=b.rs
4 10 1
cfn=inner
calls=4 0
5 40 7 7
cob=/lib/apr.so
cfn=table_set'2
calls=2 0
6 100
fe=a.rs

fn=inner
7 40 2 3

ob=/lib/apr.so
fn=table_set'2
0 100

totals: 170
"""


def test_a_profile_is_per_request_and_a_call_holds_what_is_below(tmp_path):
    dump = tmp_path / "part.1"
    dump.write_text(DUMP)
    profile = Profile.read([dump], 2)
    assert profile.total == 85
    assert profile.own[Function("apr.so", "table_set")] == 100
    assert profile.leaving("ours.so") == {"table_set": 50}
    assert profile.entering("apr.so") == {"table_set": 50}
    assert profile.entering("ours.so") == {}
    assert profile.missed == {"ours.so": 6, "apr.so": 0}


def test_the_page_has_what_has_run_in_the_order_of_the_benches(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "PLACE", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "README.md")

    def bench(title, reached):
        return SimpleNamespace(
            TITLE=title, section=lambda found: f"It found {found}.",
            summary=lambda found: [page.Case(title, "0", str(found), "≥ 2", reached)])

    benches = {"b": bench("B", True), "a": bench("A", False), "c": bench("C", True)}
    for name, found in [("a", 0), ("b", 2), ("a", 1)]:
        data.save(name, "Here and now.", found)
    page.draw(benches)
    written = page.PAGE.read_text()
    assert "## C" not in written and "It found 0." not in written
    assert written.index("## B\n\nHere and now.\n\nIt found 2.") < written.index("## A")
    assert "| A    | 0     | 1    | ≥ 2    | **no**  |" in written
