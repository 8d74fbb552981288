"""Placement: what fits beside what on one device, and what is said when it does not."""

from penstock.domain.placement import Device, Need, Reservation, shortage, shortfall

GIB = 2**30
DEVICE = Device("cpu-0", "test", 8 * GIB)


def test_what_is_missing_is_named_with_its_holders():
    held = [Reservation("a/m-1", 0.6, 5 * GIB, "cpu-0")]
    said = shortfall(DEVICE, held, Reservation("b/m-2", 0.4, 4 * GIB, "cpu-0"))
    assert "b/m-2" in said
    assert "40.0% of the device's throughput is needed and 30.0% is free" in said
    assert "4,096 MiB of memory is needed and 3,072 is free" in said
    assert "a/m-1 (60.0%, 5,120 MiB)" in said


def test_exactly_what_is_left_fits():
    held = [Reservation(f"e{k}", 0.1, GIB, "cpu-0") for k in range(6)]
    assert shortfall(DEVICE, held, Reservation("last", 0.3, 2 * GIB, "cpu-0")) is None


def test_of_several_devices_it_is_said_what_is_free_on_each_and_who_holds_the_rest():
    devices = [DEVICE, Device("cpu-1", "test", 8 * GIB)]
    held = [Reservation("a", 0.6, 5 * GIB, "cpu-0"), Reservation("b", 0.9, GIB, "cpu-1")]
    need = Need("s", "main.default.m/1", 8, 0.1, GIB)
    said = shortage(devices, held, Reservation("c", 0.8, GIB, ""), [need])
    assert said == (
        "Insufficient capacity on cpu-0, cpu-1 for c: main.default.m/1 needs 80.0% of a device's throughput in chunks "
        "of 10.0% and 1,024 MiB of memory for each replica. Free (at most 90% of a device is sold): cpu-0 30.0% and "
        "3,072 MiB, cpu-1 0.0% and 7,168 MiB. Held by: a on cpu-0 (60.0%, 5,120 MiB), b on cpu-1 (90.0%, 1,024 MiB)."
    )
