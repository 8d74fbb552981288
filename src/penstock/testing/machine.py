"""The machine as tests say that it is."""

from penstock.ports.machine import MachineFigures


class FakeMachine:
    """See `penstock.ports.machine.Machine`."""

    def __init__(self) -> None:
        self.figures = MachineFigures(
            cpu_percent=12.5,
            memory_percent=40.0,
            resident_bytes=100,
            virtual_bytes=200,
            cpu_s=3.5,
            open_files=7,
            threads=4,
            started_at=1000.0,
            engines=2,
            engines_bytes=300,
        )

    def read(self) -> MachineFigures:
        """What was set."""
        return self.figures
