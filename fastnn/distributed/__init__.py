"""One job on several processes or machines, by MPI or by what else gives arrays of each to all."""

from typing import TYPE_CHECKING

from fastnn import _names

if TYPE_CHECKING:
    from fastnn.distributed.communicator import Communicator, GlooCommunicator, LocalCommunicator, MPICommunicator

__all__ = ["Communicator", "GlooCommunicator", "LocalCommunicator", "MPICommunicator"]

__getattr__ = _names.later(__name__, dict.fromkeys(__all__, "communicator"), __all__)
