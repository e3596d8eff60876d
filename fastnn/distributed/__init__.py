"""One job on several processes or machines, by MPI or by what else gives arrays of each to all."""

from typing import TYPE_CHECKING

from fastnn import _names

if TYPE_CHECKING:
    from fastnn.distributed.communicator import Communicator, GlooCommunicator, LocalCommunicator, MPICommunicator
    from fastnn.distributed.local_sgd import LocalSGD
    from fastnn.distributed.mapping import map

__all__ = ["Communicator", "GlooCommunicator", "LocalCommunicator", "LocalSGD", "MPICommunicator", "map"]

_LATER = {**dict.fromkeys(__all__, "communicator"), "LocalSGD": "local_sgd", "map": "mapping"}
__getattr__ = _names.later(__name__, _LATER, __all__)
