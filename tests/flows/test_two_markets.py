"""The same plant on two markets: what is netted where, and what restored books make of markets with one account."""

from datetime import UTC, datetime, timedelta

from ledger.models import SettlementBalance, VppSettlementBatch, VppTradingRecord
from ledger.settlement.batches import plan_batches, submit_planned
from ledger.settlement.trade_rows import COLUMNS
from ledger.settlement.trades import import_trades
from tests.support import ticks
from tests.support.chain import PARTIES
from tests.support.copied import back_up
from tests.support.park import MARKET as DAY_AHEAD
from tests.support.park import TRADING, Park, apply_park

SHORT_ON_MARIADB = ()
PLANT, MARKET = PARTIES["owner"], PARTIES["market"]
INTRADAY = "intraday"
BOTH = TRADING + f'[[market]]\nname = "{INTRADAY}"\naccount = "anvil:6"\n'


def bring(park: Park, *trades: tuple[str, int]) -> None:
    """Import trades of a whole one each: the market, and the hour, in which the price is as many euros."""
    lines = [",".join(COLUMNS)]
    for market, hour in trades:
        moment = datetime(2014, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
        price = 1 + hour % 10
        lines.append(f"plant,,sell,1.000,{price}.0000,{price}.00,{market},{moment.isoformat()}")
    file = park.folder / "trades.csv"
    file.write_text("\n".join(lines) + "\n")
    report = park.db.run(lambda session: import_trades(session, file))
    assert (report.rejected, report.new) == (0, len(trades))


def test_restored_books_take_over_a_batch_though_its_trades_may_be_of_either_market(
    both: Park,
) -> None:
    """Markets with one account: the chain does not say of which of them a trade is, and it is nobody's loss."""
    apply_park(both.db, trading=BOTH)
    both.fund(MARKET, 100_00)
    restore = back_up(both.db, both.folder)
    bring(both, (DAY_AHEAD, 11), (INTRADAY, 1), (INTRADAY, 2))
    plan_batches(both.chain)
    submit_planned(both.chain)
    both.mirror_final()
    restore()
    both.mirror_final()
    # The chain has one of the first price, then a batch of the first price and the second.
    bring(both, (INTRADAY, 1), (INTRADAY, 2), (DAY_AHEAD, 11))
    for _ in range(4):
        ticks.settle(both.chain)
        both.mirror_final()
        both.pass_window()
    assert both.differences() == []
    assert {row.status.value for row in both.rows(VppTradingRecord)} == {"executed"}
    assert {row.state.value for row in both.rows(VppSettlementBatch)} == {"finalized"}
    held = {row.account: int(row.balance) for row in both.rows(SettlementBalance)}
    assert held == {PLANT: 7_00, MARKET: 93_00}
    assert both.count(VppSettlementBatch) == 2
