"""`--ranks N`: a command started again N times, as ranks of one run, by PyTorch's elastic launcher.

What ranks but the first print goes to files of the launcher; of their last words only the cause of a failure is shown.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

ERROR_FILE = "TORCHELASTIC_ERROR_FILE"  # where the launcher looks for what a rank died of
LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL", "gloo")  # another rank's end
PATIENCE = 24 * 3600  # seconds that ranks have to finish their step and save after Ctrl-C


class RanksError(RuntimeError):
    """A rank failed; the message says which and why."""


def start_ranks(number: int, words: Sequence[str], *, continues: str) -> int:
    """Run `r1zero WORDS` as so many ranks on this machine; returns the exit code of the first.

    `continues` says how to go on.  The first Ctrl-C is passed on to every rank.  Raises ValueError with what a rank
    says where the user can mend it, RanksError where one failed otherwise; the other ranks are ended.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from r1zero.training.ranks import STARTER

    for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    threads = str(max(1, (os.cpu_count() or 1) // number))
    os.environ |= {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads), STARTER: str(os.getpid())}
    with tempfile.TemporaryDirectory(prefix="r1zero-ranks-") as folder:
        quiet = {rank: Std.ALL if rank else Std.NONE for rank in range(number)}
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=number,
            run_id="r1zero",
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder, redirects=quiet),
            signals_to_handle="SIGTERM,SIGINT,SIGHUP",
            shutdown_timeout=PATIENCE,
        )
        try:
            elastic_launch(config, sys.executable)("-m", "r1zero", *words)
        except SignalException:
            return 1
        except ChildFailedError as error:
            return _explained(error.failures, continues)
        finally:
            del os.environ[STARTER]
    return 0


def is_rank() -> bool:
    """Whether this process is one of several ranks of a run."""
    if "RANK" not in os.environ:  # most often so, and then torch need not be imported
        return False
    from r1zero.training.ranks import started_as_rank

    return started_as_rank()


def tell_launcher(message: str) -> bool:
    """Leave a rank's last words for whoever started it; whether that is `start_ranks`, which shows them."""
    from r1zero.training.ranks import STARTER

    path = os.environ.get(ERROR_FILE)
    if path:
        extra = {"timestamp": str(int(time.time())), "py_callstack": message}
        Path(path).write_text(json.dumps({"message": {"message": message, "extraInfo": extra}}))
    return STARTER in os.environ


def _explained(failures: Mapping[int, ProcessFailure], continues: str) -> int:
    """The exit code where the first rank has said all there is to say; raises what else there is."""
    rank, failure = min(failures.items(), key=lambda item: (_blame(item[1]), item[1].timestamp, item[0]))
    said = _said(failure)
    if failure.exitcode == 2 and said:
        raise ValueError(said)
    if rank == 0 and failure.exitcode == 1 and not said:
        return 1  # stopped, and reported
    if failure.exitcode < 0:
        said = f"killed by {signal.Signals(-failure.exitcode).name}"
    others = "; the other ranks were ended" if len(failures) > 1 else ""
    raise RanksError(f"rank {rank}: {said or f'exit code {failure.exitcode}'}{others}; {continues}")


def _blame(failure: ProcessFailure) -> int:
    """How far a failure is from the cause: 0 by itself, 1 for what follows from another's end, 2 ended by us."""
    if failure.exitcode == -signal.SIGTERM:
        return 2
    return int(any(word in _said(failure) for word in LOST))


def _said(failure: ProcessFailure) -> str:
    message = failure.error_file_data.get("message", "") if isinstance(failure.error_file_data, dict) else ""
    return message.get("message", "") if isinstance(message, dict) else ""
