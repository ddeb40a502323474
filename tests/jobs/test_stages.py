"""The share of a job that is done, and the time left, over its stages."""

from __future__ import annotations

import random

from vestige_tui.core.jobs import JobProgress, StepProgress
from vestige_tui.jobs.context import COMPARING, INDEXES, ROWS, VECTOR_INDEX, Meter
from vestige_tui.jobs.ledger_rows import LIVE, live_json, progress_json, read_progress
from vestige_tui.jobs.stages import MAX_SHARE, Stage, Stages
from vestige_tui.transfer.copy_stages import stages as stages_of_a_copy


class Seconds:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_stage_counts_by_its_weight() -> None:
    stages = Stages([Stage("rows", 1), Stage("nothing", 0), Stage("index", 3)])
    assert stages.share == 0
    stages.reach("rows", 0.5)
    assert stages.share == 0.125
    stages.begin("index")
    assert stages.share == 0.25
    stages.reach("index", 0.5)
    assert stages.share == 0.625
    assert stages.name == "index"


def test_the_share_never_falls_and_never_reaches_the_end() -> None:
    dice = random.Random(7)
    stages = Stages([Stage(name, dice.uniform(0, 5)) for name in "abcdef"], floor=0.2)
    shares = [stages.share]
    for _ in range(500):
        stages.reach(dice.choice("abcdefg"), dice.uniform(-1, 2))
        shares.append(stages.share)
    assert shares == sorted(shares)
    assert shares[0] == 0.2
    assert shares[-1] <= MAX_SHARE < 1


def test_another_attempt_goes_on_from_the_share_of_the_one_before() -> None:
    meter = Meter(JobProgress(share=0.4))
    meter.plan([Stage(ROWS, 1)])
    meter.expect("memories", 100)
    meter.add("memories", read=10)
    assert meter.snapshot().share == 0.4
    meter.add("memories", read=60)
    assert meter.snapshot().share == 0.7


def test_the_time_left_counts_the_stages_to_come() -> None:
    clock = Seconds()
    stages = Stages([Stage("rows", 100), Stage("index", 900)], clock=clock)
    assert stages.seconds_left() is None
    clock.now = 10.0
    stages.reach("rows", 0.0)
    stages.reach("rows", 0.5)
    # Ten seconds for 50 units: ten for the rest of this stage, 180 for the next one.
    assert stages.seconds_left() == 190
    stages.begin("index")
    clock.now = 30.0
    stages.reach("index", 0.25)
    assert stages.seconds_left() == 60
    assert stages.seconds_left(12.0) == 12


def test_work_of_an_earlier_attempt_counts_for_no_speed() -> None:
    clock = Seconds()
    stages = Stages([Stage("rows", 100), Stage("index", 100)], clock=clock)
    stages.reach("rows", 0.5)
    clock.now = 10.0
    stages.reach("rows", 0.75)
    assert stages.seconds_left() == 10 + 40


def test_the_index_of_a_large_copy_takes_most_of_its_time() -> None:
    meter = Meter()
    for name in ("memories", "vectors", "scheduling"):
        meter.expect(name, 1_000_000)
    plan = stages_of_a_copy(meter.tables, is_server=True, encodes=False, verifies=True)
    weights = {stage.name: stage.weight for stage in plan}
    assert weights[VECTOR_INDEX] > 0.8 * sum(weights.values())
    assert weights[ROWS] > weights[INDEXES]
    meter.plan(plan)
    for name in meter.tables:
        meter.add(name, read=1_000_000)
    share = meter.snapshot().share
    assert share is not None
    assert share < 0.1, "all rows are read, and little is done"
    meter.note_compared(3_000_000)
    assert meter.snapshot().share == MAX_SHARE
    file = stages_of_a_copy(meter.tables, is_server=False, encodes=False, verifies=True)
    assert {stage.name for stage in file if stage.weight} == {ROWS, COMPARING}


def test_a_live_step_is_stored_beside_the_counts_of_the_checkpoint() -> None:
    meter = Meter()
    meter.plan([Stage(ROWS, 1), Stage(VECTOR_INDEX, 9)])
    meter.expect("memories", 10)
    meter.add("memories", read=10)
    stored = progress_json(meter.snapshot())
    step = StepProgress("loading tuples", 412, 1_000, "tuples", 75.0)
    meter.phase = "building the vector index"
    live = meter.live(VECTOR_INDEX, step)
    read = read_progress({**stored, LIVE: live_json(live)})
    assert read.step == step
    assert read.tables["memories"].read == 10
    assert read.share == round(0.1 + 0.9 * 0.412, 4)
    assert read.eta == 75.0
    assert read.rate is None
    assert read_progress(stored).step is None
    broken: object
    for broken in (
        "text",
        7,
        [],
        {"step": 3},
        {"step": {"name": 4}},
        {"step": {"name": "x", "done": "y", "total": -1}},
    ):
        assert read_progress({**stored, LIVE: broken}).tables == read.tables


def test_a_build_that_is_a_part_of_its_stage_fills_that_part() -> None:
    meter = Meter()
    meter.plan([Stage(INDEXES, 1)])
    half = StepProgress("scanning", 50, 100, "blocks", 3.0)
    assert meter.live(INDEXES, half, begun=0.0, part=0.25).share == 0.125
    assert meter.live(INDEXES, half, begun=0.5, part=0.25).share == 0.625
