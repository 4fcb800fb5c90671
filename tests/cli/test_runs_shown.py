"""What `credits show` says of the runs of a batch that has more than it names."""

from cli.credits import _title_of_runs


def test_the_runs_of_a_batch_are_called_all_only_where_they_are() -> None:
    runs = [{"credit_id": "x"}] * 3
    assert _title_of_runs({"credits": runs, "credits_count": 3}, "7") == "all runs of the batch"
    assert _title_of_runs({"credits": runs, "credits_count": 6001}, "7") == (
        "the first 3 of 6001 runs of the batch; all of them: "
        "`truetonne export credits --where batch_id=7 -o FILE`"
    )
