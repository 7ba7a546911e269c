"""The kinds of layers of a network add up to its time."""

from tools.profile_network import profile_network


def test_the_parts_are_the_whole(capsys):
    profile_network("mednext_small", rounds=1)
    rows = [line.split(" ms  ") for line in capsys.readouterr().out.splitlines()]
    milliseconds = {kind: float(number) for number, kind in rows}
    whole = milliseconds.pop("all")
    assert {"convolutions of one voxel", "ConvTranspose3d", "the rest"} <= milliseconds.keys()
    assert abs(whole - sum(milliseconds.values())) < 0.1 * len(milliseconds)
