import pickle
from datetime import date

from plugin.domain.problems import NEVER, Problem, after
from tests.domain.build import D


def test_parameters_are_plain_json_values() -> None:
    problem = Problem("send.locked", date=date(2026, 9, 1), total=D("1.50"), fields=["a"], row=None, count=3)
    assert problem.params == {"date": "2026-09-01", "total": "1.50", "fields": ["a"], "row": None, "count": 3}
    assert problem.retry == NEVER


def test_a_problem_travels_between_processes() -> None:
    problem = pickle.loads(pickle.dumps(Problem("xero.busy", after(7), wait=7)))
    assert (problem.code, problem.retry, problem.params) == ("xero.busy", after(7), {"wait": 7})
