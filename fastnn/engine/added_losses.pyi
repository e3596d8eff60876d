from fastnn.engine.description import AddedLoss
from fastnn.engine.objectives import Objectives

class AddedLosses(Objectives):
    @property
    def added(self) -> tuple[AddedLoss, ...]: ...
