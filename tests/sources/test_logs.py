"""Records of logging are entries of the run whose work made them, and nothing outside changes."""

import io
import logging
import sys
import threading
from types import FrameType

import pytest

from outlive.buffers import CURRENT_BUFFER
from outlive.entries import TEXT_KINDS, Kind
from tests.captures import capturing, entries_of, run_program, texts_of


@pytest.fixture
def logger() -> logging.Logger:
    """Give a logger that lets INFO through, and whose records nobody else gets."""
    return logging.Logger("tests.logs", logging.INFO)  # noqa: LOG001 - nobody is to find it


def test_a_record_is_an_entry(logger):
    """It says its level, its logger and its text."""
    with capturing() as run:
        logger.info("hello %s", "Jürg")
        logger.debug("too low")
    (entry,) = [entry for entry in entries_of(run) if entry.kind is Kind.LOG]
    assert entry.data == {"level": "INFO", "logger": "tests.logs"}
    assert entry.text.decode() == "INFO tests.logs: hello Jürg\n"


def test_prints_and_records_keep_their_order(logger):
    """What was printed before a record is before it, whatever it was printed to."""
    with capturing() as run:
        for number in range(50):
            print(f"print {number}")
            logger.info("record")
            print("error", file=sys.stderr)
    found = b"".join(entry.text for entry in entries_of(run) if entry.kind in TEXT_KINDS)
    assert found.decode() == "".join(
        f"print {number}\nINFO tests.logs: record\nerror\n" for number in range(50)
    )


def test_a_traceback_is_part_of_its_record(logger):
    """`exception` brings the traceback, and leaves the record as it was for other handlers."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)

    class Short(logging.Formatter):
        def formatException(self, ei):  # noqa: N802 - the name it has
            return "short"

    handler.setFormatter(Short())
    logger.addHandler(handler)
    with capturing() as run:
        try:
            int("deep")
        except ValueError:
            logger.exception("oops")
    assert "Traceback" in texts_of(run, Kind.LOG)
    assert "ValueError: invalid literal" in texts_of(run, Kind.LOG)
    assert stream.getvalue() == "oops\nshort\n"


def test_a_level_below_the_configured_one_is_the_runs_alone(logger):
    """With `level`, the run has more than other handlers, which see what they always saw."""
    stream = io.StringIO()
    logger.addHandler(logging.StreamHandler(stream))
    with capturing(level=logging.DEBUG) as run:
        logger.debug("low")
        logger.info("high")
    logger.debug("afterwards")
    assert texts_of(run, Kind.LOG) == "DEBUG tests.logs: low\nINFO tests.logs: high\n"
    assert stream.getvalue() == "high\n"
    with capturing(level=logging.ERROR) as run:
        logger.info("not here")
        assert not logger.isEnabledFor(logging.DEBUG)
    assert run.text() == ""
    assert stream.getvalue() == "high\nnot here\n"


def test_a_level_is_of_one_run(logger):
    """A run that asks for more does not give it to another one, or to nobody."""
    with capturing() as outer:
        with capturing(level=logging.DEBUG) as inner:
            logger.debug("inner")
            with outer.current():
                logger.debug("outer")
                assert not logger.isEnabledFor(logging.DEBUG)
        logger.info("outer")
    assert inner.text() == "DEBUG tests.logs: inner\n"
    assert outer.text() == "INFO tests.logs: outer\n"


def test_what_is_disabled_stays_so(logger):
    """`logging.disable` and disabled loggers are respected."""
    with capturing(level=logging.DEBUG) as run:
        logging.disable(logging.INFO)
        logger.info("no")
        logging.disable(logging.NOTSET)
        logger.disabled = True
        logger.info("no")
        logger.disabled = False
        logger.info("yes")
    assert run.text() == "INFO tests.logs: yes\n"


def test_a_formatter_of_ones_own(logger):
    """A run's records look as its formatter says."""
    with capturing(formatter=logging.Formatter("<%(message)s>")) as run:
        logger.info("x")
    assert run.text() == "<x>\n"


def test_a_record_that_cannot_be_formatted_stops_nobody(logger):
    """As with any handler, the error is told and the work goes on."""
    with capturing() as run:
        logger.info("%d", "x")
        logger.info("next")
    assert "--- Logging error ---" in texts_of(run, Kind.ERR)
    assert texts_of(run, Kind.LOG) == "INFO tests.logs: next\n"


def test_an_interrupted_record_leaves_the_run_where_it_was(logger):
    """Ctrl-C may come between any two steps."""

    def interrupt(_: FrameType, happened: str, function: object) -> None:
        if happened == "c_return" and function == CURRENT_BUFFER.set:
            sys.setprofile(None)
            raise KeyboardInterrupt

    with capturing() as run:
        sys.setprofile(interrupt)
        with pytest.raises(KeyboardInterrupt):
            logger.warning("interrupted")
        print("on")
    assert texts_of(run, Kind.OUT) == "on\n"


def test_nothing_is_left_behind():
    """When the last run has ended, loggers are as they were; also where others wrapped them."""
    before = logging.Logger.callHandlers, logging.Logger.isEnabledFor
    with capturing(level=logging.DEBUG):
        with capturing():
            assert logging.Logger.callHandlers is not before[0]
        assert logging.Logger.callHandlers is not before[0]
    assert (logging.Logger.callHandlers, logging.Logger.isEnabledFor) == before


def test_others_may_wrap_too(logger, monkeypatch):
    """Who wraps loggers while a run lives, and stays, is neither removed nor called twice."""
    seen = []
    with capturing():
        ours = logging.Logger.callHandlers

        def theirs(self, record):
            seen.append(record.getMessage())
            ours(self, record)

        monkeypatch.setattr(logging.Logger, "callHandlers", theirs)
        logger.info("first")
    logger.info("second")
    with capturing() as run:
        logger.info("third")
    assert seen == ["first", "second", "third"]
    assert texts_of(run, Kind.LOG) == "INFO tests.logs: third\n"
    monkeypatch.undo()
    with capturing():
        pass
    assert logging.Logger.callHandlers.__module__ == "logging"


def test_threads_beside_a_run_do_not_log_into_it(logger):
    """A record of nobody's work is in no run."""
    go, done = threading.Event(), threading.Event()

    def work() -> None:
        assert go.wait(30)
        logger.info("outside")
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    with capturing() as run:
        logger.info("inside")
        go.set()
        assert done.wait(30)
    thread.join()
    assert run.text() == "INFO tests.logs: inside\n"


def test_basic_config_works_inside_and_outside(tmp_path):
    """It is not in vain, and the console gets each record once, and the run, too."""
    told = run_program(
        "import logging\nwith capture():\n"
        "    logging.basicConfig(level=logging.INFO, format='console %(message)s')\n"
        "    logging.info('inside')\n"
        "assert len(logging.getLogger().handlers) == 1\n"
        "logging.info('outside')\n"
        "with capture():\n    logging.info('again')\n",
        tmp_path,
    )
    assert told.err == "console inside\nconsole outside\nconsole again\n"
    assert told.run == "INFO root: inside\nINFO root: again\n"


def test_basic_config_before_the_first_run(tmp_path):
    """A handler that kept standard error before any run writes to the console, not to the run."""
    told = run_program(
        "import logging\nlogging.basicConfig(level=logging.INFO)\n"
        "with capture():\n    logging.info('inside')\n",
        tmp_path,
    )
    assert told.err == "INFO:root:inside\n"
    assert told.run == "INFO root: inside\n"


def test_dict_config_inside_a_run_takes_nothing_away(tmp_path):
    """Configuring anew keeps the run's records coming."""
    told = run_program(
        "import logging.config\nwith capture():\n"
        "    logging.config.dictConfig({'version': 1, 'handlers': {'c': {'class':\n"
        "        'logging.StreamHandler', 'stream': 'ext://sys.stdout'}},\n"
        "        'root': {'level': 'INFO', 'handlers': ['c']}})\n"
        "    logging.info('inside')\n",
        tmp_path,
    )
    assert (told.out, told.run) == ("inside\n", "INFO root: inside\n")


def test_the_last_resort_writes_to_the_console(tmp_path):
    """Without any configuration, warnings are in the run, and on the console as ever."""
    told = run_program(
        "import logging\nwith capture():\n"
        "    logging.getLogger('a').warning('w'); logging.getLogger('a').info('i')\n",
        tmp_path,
    )
    assert (told.err, told.run) == ("w\n", "WARNING a: w\n")


def test_pytest_captures_records_in_runs_too(caplog):
    """A handler on the root logger, as pytest's, sees what it saw."""
    with capturing() as run:
        logging.getLogger("tests.both").warning("both")
    assert caplog.messages == ["both"]
    assert run.text() == "WARNING tests.both: both\n"
